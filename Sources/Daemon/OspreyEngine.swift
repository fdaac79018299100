import Foundation
import Imaging
import Masks
import Osprey
import Wire

extension ImageFeatures: Held {}
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
        if wish.vocabulary != nil {
          throw .vocabulary(reason: "cannot answer a question of your own; give one of them")
        }
        return try ask(Question(Self.withRegion(question)), wish.maxTokens ?? longTokens).map(words)
      }
      // A description alone would leave its mask without a name.
      let isDetailed = wish.style == .detailed
      var results: [Words] = []
      if let vocabulary = wish.vocabulary {
        for mask in masks { results.append(try choose(image, mask, vocabulary, isCancelled)) }
      } else {
        let question: Question = wish.style == .category ? .init(.category) : .init(.short)
        let tokens = isDetailed ? shortTokens : wish.maxTokens ?? shortTokens
        results = try ask(question, tokens).map(words)
      }
      guard isDetailed else { return results }
      let descriptions = try ask(Question(.detailed), wish.maxTokens ?? longTokens)
      for (index, description) in descriptions.enumerated() { results[index].description = description.text }
      return results
    } catch {
      throw Self.explain(error)
    }
  }

  private func words(_ answer: Answer) -> Words {
    // An answer without a word has no probability.
    let score = answer.tokenIds.isEmpty ? 0 : Float(exp(answer.meanLogProbability))
    let levels = answer.evidence.regions.first ?? []
    return Words(
      label: answer.phrase, score: score,
      evidence: Self.evidence(
        levels,
        [
          ("prompt", .string(answer.evidence.prompt)), ("tokens", .integer(answer.tokenIds.count)),
          ("complete", .bool(answer.evidence.isComplete)),
        ]))
  }

  /// The likeliest of the user's own words, with the next ones as alternatives; scores are shares among them.
  private func choose(
    _ image: OspreyImage, _ mask: BitMask, _ vocabulary: [String], _ isCancelled: () -> Bool
  ) throws(OspreyError) -> Words {
    let choices = try labeler.choose(image, mask: mask, among: vocabulary, isCancelled: isCancelled)
    let levels = try labeler.regionTokens(image.features, mask).levels
    return Words(
      label: choices.first?.word ?? Choice.none, score: choices.first.map { Float($0.share) },
      alternatives: choices.dropFirst().prefix(4).map { ($0.word ?? Choice.none, Float($0.share)) },
      evidence: Self.evidence(
        levels, [("log_probability", choices.first.map { .number($0.logProbability) })]))
  }

  /// What the words rest on: how many cells of each level the mask covers, and at which it is too thin to be seen.
  private static func evidence(_ levels: [LevelEvidence], _ others: [(String, JSONValue?)]) -> JSONValue {
    JSONValue(
      entries: [
        ("cells", JSONValue(entries: levels.map { ($0.level, .integer($0.cells)) })),
        ("empty_levels", .array(levels.filter { $0.cells == 0 }.map { .string($0.level) })),
      ] + others)
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
    case .checkpoint, .configuration, .tokenizer, .notFound, .quantized: WireError(.internal, "\(error)")
    }
  }
}
