import Checkpoints
import Foundation
import Osprey
import Wire

extension OspreyEngine {
  /// What is the same for all words of a request: the model, how it is stored and kept, and how words were drawn.
  func facts(_ image: OspreyImage, _ sampling: Sampling?) -> [(String, JSONValue?)] {
    let weights = model.files.filter { isNamedAsCheckpoint($0.path) }
    let digests = weights.isEmpty ? nil : JSONValue(entries: weights.map { ($0.path, .string($0.sha256)) })
    return [
      ("model", JSONValue(entries: [("name", .string(model.name)), ("sha256", digests)])),
      ("quantization", .string(quantization)), ("kv_cache", .string(image.cacheFormat.rawValue)),
      (
        "sampling",
        sampling.map {
          JSONValue(entries: [
            ("temperature", .number($0.temperature)), ("top_p", .number($0.topP)), ("seed", .integer(Int($0.seed))),
          ])
        }
      ),
    ]
  }

  /// How many cells of each level the mask covers, and at which it is too small or thin to be seen.
  static func cells(_ levels: [LevelEvidence]) -> [(String, JSONValue?)] {
    [
      ("cells", JSONValue(entries: levels.map { ($0.level, .integer($0.cells)) })),
      ("empty_levels", .array(levels.filter { $0.cells == 0 }.map { .string($0.level) })),
    ]
  }

  /// What was asked, and how sure the answer is.
  static func basis(_ answer: Answer) -> [(String, JSONValue?)] {
    [
      ("prompt", .string(answer.evidence.prompt)), ("question", .string(answer.evidence.question)),
      ("log_probability", .number(answer.meanLogProbability)), ("tokens", .integer(answer.tokenIds.count)),
      ("complete", .bool(answer.evidence.isComplete)),
    ]
  }

  /// An answer without a word has no probability.
  static func score(_ answer: Answer) -> Float {
    answer.tokenIds.isEmpty ? 0 : Float(exp(answer.meanLogProbability))
  }

  /// Words for what the model cannot see: none. It would guess some from the rest of the picture.
  static func vanished(_ basis: [(String, JSONValue?)], _ facts: [(String, JSONValue?)]) -> Words {
    Words(
      label: "",
      evidence: JSONValue(
        entries: basis + [
          ("vanished", .bool(true)),
          ("reason", .string("the mask is too small or too thin to be seen at any level of the labeler's features")),
        ] + facts))
  }
}
