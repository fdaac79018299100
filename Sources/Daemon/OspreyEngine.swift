import Foundation
import Imaging
import Masks
import Osprey
import Wire

extension ImageFeatures: Held {
  public var byteCount: Int {
    // The pyramid's four levels hold twice what res2 holds, which has four times as many numbers as the input at most.
    4 * (imageTokens.count + 16 * width)
  }
}

extension OspreyImage: Held {}

/// `Osprey` as the stages "extract" and "language" want it.
public struct OspreyEngine: LabelEngine {
  public let model: ModelDescription
  private let labeler: Osprey
  /// The longest answer in tokens where a request gives none: a phrase, or some sentences.
  private let shortTokens: Int
  private let longTokens: Int

  public init(
    _ labeler: Osprey, name: String, files: [(path: String, sha256: String)] = [], shortTokens: Int = 32,
    longTokens: Int = 256
  ) {
    self.labeler = labeler
    (self.shortTokens, self.longTokens) = (shortTokens, longTokens)
    model = ModelDescription(name: name, role: "labeler", architecture: "osprey", files: files)
  }

  public func look(_ image: Image) throws -> any Held {
    do throws(OspreyError) { return try labeler.features(image) } catch { throw Self.explain(error) }
  }

  public func read(_ features: any Held) throws -> any Held {
    guard let features = features as? ImageFeatures else {
      throw WireError(.internal, "the features are not of this labeler")
    }
    do throws(OspreyError) { return try labeler.prefill(features) } catch { throw Self.explain(error) }
  }

  public func words(
    _ seen: any Held, _ masks: [BitMask], _ wish: WordsWish, isCancelled: () -> Bool
  ) throws -> [Words] {
    guard let image = seen as? OspreyImage else {
      throw WireError(.internal, "the picture was not read by this labeler")
    }
    do throws(OspreyError) {
      func ask(_ question: Question, _ tokens: Int) throws(OspreyError) -> [Answer] {
        try labeler.answer(
          image, masks.map { Osprey.Request(masks: [$0], question: question) }, maxTokens: tokens,
          isCancelled: isCancelled)
      }
      if let question = wish.question {
        return try ask(Question(Self.withRegion(question)), wish.maxTokens ?? longTokens).map { words($0, wish) }
      }
      guard wish.style == .detailed else {
        let question: Question = wish.style == .category || wish.vocabulary != nil ? .init(.category) : .init(.short)
        return try ask(question, wish.maxTokens ?? shortTokens).map { words($0, wish) }
      }
      // A description alone would leave its mask without a name.
      let names = try ask(Question(.short), shortTokens)
      let descriptions = try ask(Question(.detailed), wish.maxTokens ?? longTokens)
      return zip(names, descriptions).map { name, description in
        var result = words(name, wish)
        result.description = description.text
        return result
      }
    } catch {
      throw Self.explain(error)
    }
  }

  private func words(_ answer: Answer, _ wish: WordsWish) -> Words {
    let score = answer.tokenIds.isEmpty ? 0 : Float(exp(answer.meanLogProbability))
    guard let vocabulary = wish.vocabulary else {
      return Words(label: answer.text, score: score, evidence: Self.json(answer, said: nil))
    }
    let ranked = Vocabulary(vocabulary).ranked(answer.text)
    return Words(
      label: ranked.first?.label ?? answer.text, score: ranked.first.map { $0.score * score } ?? score,
      alternatives: ranked.dropFirst().prefix(4).filter { $0.score > 0 },
      evidence: Self.json(answer, said: answer.text))
  }

  /// What the answer rests on.
  ///
  /// - Parameter said: the model's own words, where the label is another's.
  private static func json(_ answer: Answer, said: String?) -> JSONValue {
    let levels = answer.evidence.regions.first ?? []
    return JSONValue(entries: [
      ("prompt", .string(answer.evidence.prompt)),
      ("cells", JSONValue(entries: levels.map { ($0.level, .integer($0.cells)) })),
      ("empty_levels", .array(levels.filter { $0.cells == 0 }.map { .string($0.level) })),
      ("tokens", .integer(answer.tokenIds.count)), ("complete", .bool(answer.evidence.isComplete)),
      ("answer", said.map { .string($0) }),
    ])
  }

  /// A user's question with the region in it: `<mask>` means the pair of tokens that Osprey has for one.
  static func withRegion(_ question: String) -> String {
    let pairs = question.replacing("<mask><pos>", with: "<mask>").replacing("<mask>", with: "<mask><pos>")
    if pairs.contains("<mask><pos>") || pairs.contains("<region1>") { return pairs }
    return pairs + " <mask><pos>"
  }

  private static func explain(_ error: OspreyError) -> WireError {
    switch error {
    case .cancelled: WireError(.cancelled, "the request was cancelled")
    case .regionCount, .regionPlaceholder: WireError(.badRequest, "question: \(error)")
    case .vocabulary: WireError(.badRequest, "\(error)")
    case .maskSize, .maxTokens: WireError(.badRequest, "\(error)")
    case .imageSize: WireError(.badRequest, "image: \(error)")
    case .promptTooLong: WireError(.tooLarge, "question: \(error)")
    case .checkpoint, .configuration, .tokenizer, .notFound: WireError(.internal, "\(error)")
    }
  }
}
