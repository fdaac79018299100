/// What can be wrong with a mask that came from outside.
public enum MaskError: Error, Equatable, Sendable {
  /// The size is negative, or larger than `RunLengthEncoding.maximumPixels` allows.
  case sizeOutOfBounds(height: Int, width: Int)
  /// A character that the compressed form does not use, at this offset in bytes.
  case unexpectedCharacter(byte: UInt8, offset: Int)
  /// The compressed form ends within a number.
  case truncated
  /// Run number `index` is negative, or longer than what the runs before it leave of the mask.
  case runOutOfBounds(index: Int, run: Int, remaining: Int)
  /// The runs end before the mask is full.
  case runsTooShort(sum: Int, expected: Int)
}

extension MaskError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .sizeOutOfBounds(let height, let width):
      "a mask of \(height)×\(width) (height×width) is not possible: sides go to "
        + "\(RunLengthEncoding.maximumSide), pixels to \(RunLengthEncoding.maximumPixels)"
    case .unexpectedCharacter(let byte, let offset):
      "byte \(byte) at offset \(offset) is no character of COCO's compressed run lengths (48…111)"
    case .truncated: "the compressed run lengths end within a number"
    case .runOutOfBounds(let index, let run, let remaining):
      "run \(index) is \(run) long, where \(remaining) pixels of the mask are left"
    case .runsTooShort(let sum, let expected): "the runs add up to \(sum) pixels, the mask has \(expected)"
    }
  }
}
