import Masks
import Osprey
import Wire

extension OspreyEngine {
  public func answer(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool
  ) throws -> Words {
    let image = try own(seen)
    return try answer(
      image, masks.count, wish,
      regions: { index throws(OspreyError) in try labeler.regionTokens(image.features, masks[index].bitMask()) },
      isCancelled: isCancelled)
  }

  /// - Parameters:
  ///   - count: of masks.
  ///   - regions: the tokens of the mask of an index; asked for those that are named.
  func answer(
    _ image: OspreyImage, _ count: Int, _ wish: WordsWish, regions: (Int) throws(OspreyError) -> RegionTokens,
    isCancelled: () -> Bool
  ) throws(WireError) -> Words {
    let texts = wish.history.map(\.question) + [wish.question ?? ""]
    // Masks that are not named are not looked at; the named ones get numbers without gaps.
    let numbers = wish.regionNumbers
    if let wrong = numbers.first(where: { $0 < 1 || $0 > count }) {
      throw WireError(.badRequest, "question names <region\(wrong)>, but there are \(count) masks, counted from 1")
    }
    if texts.contains(where: { $0.contains("<mask>") }) {
      throw WireError(.badRequest, "question has both <mask> and <regionN>; use one of them")
    }
    let places = Dictionary(uniqueKeysWithValues: numbers.enumerated().map { ($1, $0 + 1) })
    func renumbered(_ text: String) -> String { Question.renumbered(text) { places[$0] ?? 0 } }
    let question = Question(
      renumbered(wish.question ?? ""),
      history: wish.history.map { Question.Turn(question: renumbered($0.question), answer: $0.answer) })
    let sampling = Self.sampling(wish)
    let facts = facts(image, sampling)

    do throws(OspreyError) {
      var (named, seenOf) = ([RegionTokens](), [JSONValue]())
      for number in numbers {
        if isCancelled() { throw .cancelled }
        let region = try regions(number - 1)
        named.append(region)
        seenOf.append(
          JSONValue(
            entries: [("mask", .integer(number - 1))] + Self.cells(region.levels)
              + [("vanished", region.levels.hasVanished ? .bool(true) : nil)]))
      }
      let basis: [(String, JSONValue?)] = [("regions", .array(seenOf))]
      if named.contains(where: \.levels.hasVanished) { return Self.vanished(basis, facts) }
      var request: Osprey.Request? = Osprey.Request(regions: named, question: question)
      var words: Words?
      let settings = Osprey.Settings(
        maxTokens: wish.maxTokens ?? longTokens, sampling: sampling, priority: wish.priority)
      try labeler.answer(image, settings) { () throws(OspreyError) in
        defer { request = nil }
        return request
      } isCancelled: {
        isCancelled()
      } report: { _, answer throws(OspreyError) in
        words = Words(
          label: answer.text, score: Self.score(answer),
          evidence: JSONValue(entries: basis + Self.basis(answer) + facts))
      }
      guard let words else { throw .cancelled }
      return words
    } catch {
      throw Self.explain(error)
    }
  }
}
