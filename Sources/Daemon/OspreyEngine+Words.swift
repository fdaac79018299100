import Foundation
import Masks
import Osprey
import Wire

extension OspreyEngine {
  public func words(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool,
    report: (Int, Words) -> Void
  ) throws {
    let image = try own(seen)
    try words(
      image, masks.count, wish,
      regions: { index throws(OspreyError) in try labeler.regionTokens(image.features, masks[index].bitMask()) },
      isCancelled: isCancelled, report: report)
  }

  /// - Parameters:
  ///   - count: of masks.
  ///   - regions: the tokens of the mask of an index.
  func words(
    _ image: OspreyImage, _ count: Int, _ wish: WordsWish, regions: (Int) throws(OspreyError) -> RegionTokens,
    isCancelled: () -> Bool, report: (Int, Words) -> Void
  ) throws(WireError) {
    let sampling = Self.sampling(wish)
    let facts = facts(image, sampling)
    let questions = questions(wish)
    var collected: [Int: [Int: Answer]] = [:]
    var (places, mask, part, tokens) = ([(mask: Int, part: Int)](), 0, 0, RegionTokens?.none)

    /// The next question: all of a mask's one after the other, its tokens made once for them.
    func next() throws(OspreyError) -> Osprey.Request? {
      while mask < count {
        let region: RegionTokens
        if let tokens { region = tokens } else { region = try regions(mask) }
        if region.levels.hasVanished {
          report(mask, Self.vanished(Self.cells(region.levels), facts))
          mask += 1
          continue
        }
        let (question, maxTokens) = questions[part]
        places.append((mask, part))
        part += 1
        tokens = region
        if part == questions.count { (mask, part, tokens) = (mask + 1, 0, nil) }
        return Osprey.Request(regions: [region], question: question, maxTokens: maxTokens)
      }
      return nil
    }

    do throws(OspreyError) {
      if let vocabulary = wish.vocabulary {
        return try choose(image, count, regions, vocabulary, facts, isCancelled, report)
      }
      let settings = Osprey.Settings(maxTokens: longTokens, sampling: sampling, priority: wish.priority)
      try labeler.answer(image, settings, next: next, isCancelled: isCancelled) { index, answer throws(OspreyError) in
        let place = places[index]
        collected[place.mask, default: [:]][place.part] = answer
        guard collected[place.mask]?.count == questions.count, let all = collected.removeValue(forKey: place.mask),
          let first = all[0]
        else { return }
        report(place.mask, words(first, description: all[1], facts))
      }
    } catch {
      throw Self.explain(error)
    }
  }

  /// What is asked about each mask, with the most tokens of the answer.
  private func questions(_ wish: WordsWish) -> [(question: Question, maxTokens: Int)] {
    if wish.question != nil { return [(Self.perMask(wish), wish.maxTokens ?? longTokens)] }
    return switch wish.style {
    case .short: [(Question(.short), wish.maxTokens ?? shortTokens)]
    case .category: [(Question(.category), wish.maxTokens ?? shortTokens)]
    // A description alone would leave its mask without a name.
    case .detailed: [(Question(.short), shortTokens), (Question(.detailed), wish.maxTokens ?? longTokens)]
    }
  }

  /// A description of style "detailed" comes second.
  private func words(_ answer: Answer, description: Answer?, _ facts: [(String, JSONValue?)]) -> Words {
    var evidence = Self.cells(answer.evidence.regions.first ?? []) + Self.basis(answer)
    if let description { evidence.append(("description", JSONValue(entries: Self.basis(description)))) }
    return Words(
      label: answer.phrase, description: description?.text, score: Self.score(answer),
      evidence: JSONValue(entries: evidence + facts))
  }
}

extension OspreyEngine {
  /// A question about each mask in turn: every `<mask>`, in earlier questions too, is the mask that is asked about. One
  /// that names it nowhere gets it at its end, since Osprey is always asked about something.
  static func perMask(_ wish: WordsWish) -> Question {
    func marked(_ text: String) -> String {
      text.replacing("<mask><pos>", with: "<mask>").replacing("<mask>", with: "<region1>")
    }
    let history = wish.history.map { Question.Turn(question: marked($0.question), answer: $0.answer) }
    var text = marked(wish.question ?? "")
    if ([text] + history.map(\.question)).allSatisfy({ Question.regionNumbers(in: $0).isEmpty }) {
      text += " <region1>"
    }
    return Question(text, history: history)
  }

  /// Drawing as asked for, with a seed if none was given; nil takes the likeliest.
  static func sampling(_ wish: WordsWish) -> Sampling? {
    guard let temperature = wish.temperature, temperature > 0 else { return nil }
    let seed = wish.seed.map { UInt64($0) } ?? UInt64(UInt32.random(in: 0...UInt32.max))
    return Sampling(temperature: temperature, topP: wish.topP ?? 1, seed: seed)
  }
}
