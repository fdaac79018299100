/// What can be wrong with a picture that came from outside.
public enum ImagingError: Error, Equatable, Sendable {
  /// The bytes begin neither like a PNG nor like a JPEG.
  case unknownFormat
  /// The bytes end too early.
  case truncated(format: ImageFormat, reason: String)
  /// The bytes begin like the format and go wrong.
  case malformed(format: ImageFormat, reason: String)
  /// A quantity ("width", "height", "pixels", "bytes") is over the limit; nothing was allocated for it.
  case tooLarge(quantity: String, value: Int, limit: Int)
  /// Raw pixels cannot have this size.
  case invalidSize(width: Int, height: Int, step: Int, reason: String)
  /// There are fewer raw bytes than the size asks for.
  case tooFewBytes(expected: Int, actual: Int)
  case cannotOpen(path: String, reason: String)
  case cannotEncode(format: ImageFormat, reason: String)
}

extension ImagingError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unknownFormat: "the picture is neither a PNG nor a JPEG"
    case .truncated(let format, let reason): "the \(format) is cut short: \(reason)"
    case .malformed(let format, let reason): "the \(format) is malformed: \(reason)"
    case .tooLarge(let quantity, let value, let limit):
      "the picture is too large: \(quantity) \(value), at most \(limit) is taken"
    case .invalidSize(let width, let height, let step, let reason):
      "raw pixels of \(width)×\(height), step \(step): \(reason)"
    case .tooFewBytes(let expected, let actual): "the raw pixels need \(expected) bytes, \(actual) are given"
    case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
    case .cannotEncode(let format, let reason): "cannot write a \(format): \(reason)"
    }
  }
}
