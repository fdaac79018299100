/// A picture in memory: 8-bit RGB, row-major, no padding between rows.
public struct Image: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// `[height, width, 3]`
  public var pixels: [UInt8]

  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(pixels.count == width * height * 3, "\(pixels.count) bytes do not fill \(width)×\(height) RGB")
    (self.width, self.height, self.pixels) = (width, height, pixels)
  }
}
