/// How large a picture from outside may be. Checked on its header, before anything is allocated for its pixels.
public struct DecodeLimits: Sendable, Equatable {
  public var maxWidth: Int
  public var maxHeight: Int
  public var maxPixels: Int
  /// Of the encoded picture.
  public var maxBytes: Int

  public init(maxWidth: Int = 16_384, maxHeight: Int = 16_384, maxPixels: Int = 1 << 26, maxBytes: Int = 1 << 26) {
    (self.maxWidth, self.maxHeight, self.maxPixels, self.maxBytes) = (maxWidth, maxHeight, maxPixels, maxBytes)
  }

  /// Sides of 16,384, 64 Mi pixels, 64 MiB.
  public static let `default` = DecodeLimits()

  func check(width: Int, height: Int) throws(ImagingError) {
    guard width <= maxWidth else { throw .tooLarge(quantity: "width", value: width, limit: maxWidth) }
    guard height <= maxHeight else { throw .tooLarge(quantity: "height", value: height, limit: maxHeight) }
    let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
    guard !overflow, pixels <= maxPixels else {
      throw .tooLarge(quantity: "pixels", value: overflow ? .max : pixels, limit: maxPixels)
    }
  }

  func check(bytes: Int) throws(ImagingError) {
    guard bytes <= maxBytes else { throw .tooLarge(quantity: "bytes", value: bytes, limit: maxBytes) }
  }
}
