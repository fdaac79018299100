/// A binary mask of a picture's size.
public struct BitMask: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// 0 or 1 for each pixel, row-major `[height, width]`.
  public var bits: [UInt8]

  /// A mask of the given pixels, each 0 or 1, as many as `width · height`.
  public init(width: Int, height: Int, bits: [UInt8]) {
    precondition(bits.count == width * height, "\(bits.count) bits do not fill \(width)×\(height)")
    (self.width, self.height, self.bits) = (width, height, bits)
  }

  /// A mask with nothing in it.
  public init(width: Int, height: Int) {
    self.init(width: width, height: height, bits: [UInt8](repeating: 0, count: width * height))
  }

  public subscript(x: Int, y: Int) -> Bool {
    get { bits[y * width + x] != 0 }
    set { bits[y * width + x] = newValue ? 1 : 0 }
  }

  /// The number of pixels in the mask.
  public var area: Int { bits.reduce(0) { $0 + Int($1) } }
}
