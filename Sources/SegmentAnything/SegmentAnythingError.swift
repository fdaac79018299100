import Checkpoints

/// What can be wrong with a model, a prompt or a setting, saying which and what would be right.
public enum SegmentAnythingError: Error, Equatable, Sendable {
  /// The weights: a tensor that is missing or of the wrong shape, a file that is no SAM.
  case checkpoint(CheckpointError)
  /// A hyperparameter given beside the weights.
  case badSetting(name: String, reason: String)
  /// Prompt number `prompt` names neither points nor a box nor a mask.
  case emptyPrompt(prompt: Int)
  case tooManyPoints(prompt: Int, count: Int, limit: Int)
  case labelCount(prompt: Int, points: Int, labels: Int)
  case badLabel(prompt: Int, index: Int, label: Int)
  case pointNotFinite(prompt: Int, index: Int)
  case pointOutside(prompt: Int, index: Int, x: Float, y: Float, width: Int, height: Int)
  case boxNotFinite(prompt: Int)
  case boxInverted(prompt: Int, box: [Float])
  case boxOutside(prompt: Int, box: [Float], width: Int, height: Int)
  case maskInputLength(prompt: Int, expected: Int, actual: Int)
  case maskInputNotFinite(prompt: Int, index: Int)
  /// EfficientSAM takes no mask.
  case maskInputRefused(prompt: Int)
  /// A parameter of the automatic mask generator.
  case badOption(name: String, reason: String)
  /// The caller asked to stop.
  case cancelled
}

extension SegmentAnythingError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .checkpoint(let error): error.description
    case .badSetting(let name, let reason): "\(name): \(reason)"
    case .emptyPrompt(let prompt): "prompts[\(prompt)] needs points, a box or mask_input"
    case .tooManyPoints(let prompt, let count, let limit):
      "prompts[\(prompt)].points: \(count) points, at most \(limit) are allowed"
    case .labelCount(let prompt, let points, let labels):
      "prompts[\(prompt)].point_labels: \(labels) labels for \(points) points, one for each is needed"
    case .badLabel(let prompt, let index, let label):
      "prompts[\(prompt)].point_labels[\(index)] is \(label), must be 1 (in the object) or 0 (not in it)"
    case .pointNotFinite(let prompt, let index): "prompts[\(prompt)].points[\(index)] is not a finite number"
    case .pointOutside(let prompt, let index, let x, let y, let width, let height):
      "prompts[\(prompt)].points[\(index)] = (\(x), \(y)) lies outside the \(width)×\(height) picture"
    case .boxNotFinite(let prompt): "prompts[\(prompt)].box has a number that is not finite"
    case .boxInverted(let prompt, let box):
      "prompts[\(prompt)].box = \(box) must be x0,y0,x1,y1 with x0 ≤ x1 and y0 ≤ y1"
    case .boxOutside(let prompt, let box, let width, let height):
      "prompts[\(prompt)].box = \(box) reaches outside the \(width)×\(height) picture"
    case .maskInputLength(let prompt, let expected, let actual):
      "prompts[\(prompt)].mask_input has \(actual) numbers, this model takes \(expected)"
    case .maskInputNotFinite(let prompt, let index):
      "prompts[\(prompt)].mask_input[\(index)] is not a finite number"
    case .maskInputRefused(let prompt):
      "prompts[\(prompt)].mask_input: EfficientSAM takes no mask, only points and a box"
    case .badOption(let name, let reason): "\(name) \(reason)"
    case .cancelled: "cancelled"
    }
  }
}
