import Tensors

/// What can be wrong with a model that somebody names, before its tensors are looked at.
public enum ModelError: Error, Equatable, Sendable {
  case unreadable(path: String, reason: String)
  /// Neither a folder under a `Models/` that we search, nor a path.
  case unknown(name: String, known: [String])
  /// The model is known, but not here as a whole.
  case incomplete(name: String, missing: [String])
  /// The model has no part that does this.
  case hasNo(part: String, name: String)
  case corrupt(path: String, expected: String, actual: String)
  /// The CPU lacks what makes a precision worth having.
  case noInstructions(precision: Precision)
  /// A file that is to be written is there already.
  case exists(path: String)
}

extension ModelError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path): \(reason)"
    case .unknown(let name, let known):
      "there is no model '\(name)': give a path, or one of \(known.isEmpty ? "(none found)" : known.joined(separator: ", "))"
    case .incomplete(let name, let missing):
      "model '\(name)' lacks \(missing.joined(separator: ", ")): bring them with 'pandion models fetch \(name)'"
    case .hasNo(let part, let name): "model '\(name)' has no \(part)"
    case .noInstructions(let precision):
      "this CPU has no \(precision == .bf16 ? "AVX512-BF16" : "AVX512-VNNI"), so it would be slow in \(precision.rawValue): take fp32, or auto"
    case .exists(let path): "\(path) exists already; --force replaces it"
    case .corrupt(let path, let expected, let actual):
      "\(path) is not the file meant: digest \(actual), expected \(expected)"
    }
  }
}
