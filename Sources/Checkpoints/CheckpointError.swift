/// What can be wrong with a file of weights, naming the file and the tensor.
public enum CheckpointError: Error, Equatable, Sendable {
  case cannotOpen(path: String, reason: String)
  /// The file is no checkpoint of a kind this reader knows.
  case unrecognised(path: String, reason: String)
  case truncated(path: String, expected: Int, actual: Int)
  case malformed(path: String, reason: String)
  case unsupportedType(path: String, tensor: String, type: String)
  case missing(key: String, path: String)
  /// A pickle names something that tensors do not need; it is neither imported nor run.
  case forbiddenGlobal(path: String, name: String)
  /// A file asks for more than this reader grants, such as nesting or entries.
  case tooMuch(path: String, what: String, limit: Int)
  case shapeMismatch(key: String, expected: [Int], actual: [Int])
}

extension CheckpointError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
    case .unrecognised(let path, let reason): "\(path) is not a checkpoint this program reads: \(reason)"
    case .truncated(let path, let expected, let actual):
      "\(path) is cut short: its header describes \(expected) bytes, the file has \(actual)"
    case .malformed(let path, let reason): "\(path) is malformed: \(reason)"
    case .unsupportedType(let path, let tensor, let type):
      "\(path): tensor '\(tensor)' has type \(type), which this program does not read"
    case .missing(let key, let path): "\(path) has no tensor '\(key)'"
    case .forbiddenGlobal(let path, let name):
      "\(path): its pickle names '\(name)', which no tensor needs; it was not run"
    case .tooMuch(let path, let what, let limit): "\(path) has too many \(what): at most \(limit) are read"
    case .shapeMismatch(let key, let expected, let actual):
      "tensor '\(key)' has shape \(actual), expected \(expected.map { $0 < 0 ? "any" : String($0) }.joined(separator: "×"))"
    }
  }
}
