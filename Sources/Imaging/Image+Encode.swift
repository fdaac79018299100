import CImageCodecs
import Masks

extension Image {
  /// The picture as an 8-bit RGB PNG.
  ///
  /// - Throws: `cannotEncode`, also if the picture has no pixels.
  public func encodedPNG() throws(ImagingError) -> [UInt8] {
    // Level 3 is twice as fast as zlib's usual 6, and about a tenth larger on photographs.
    try encodePNG(pixels, width: width, height: height, channels: 3, depth: 8, level: 3)
  }

  /// The picture as a baseline JPEG.
  ///
  /// - Parameter quality: 1 … 100; what lies outside is brought inside.
  /// - Throws: `cannotEncode`, also if the picture has no pixels or a side over 65,500.
  public func encodedJPEG(quality: Int = 90) throws(ImagingError) -> [UInt8] {
    guard width > 0, height > 0 else { throw .cannotEncode(format: .jpeg, reason: "it has no pixels") }
    var message = [CChar](repeating: 0, count: CIC_MESSAGE_LENGTH)
    var encoded: UnsafeMutablePointer<UInt8>?
    var count = 0
    let status = cic_encode_jpeg(
      pixels, width, height, Int32(min(max(quality, 1), 100)), &encoded, &count, &message)
    guard status == CIC_OK else { throw .cannotEncode(format: .jpeg, reason: text(message)) }
    defer { cic_free(encoded) }
    return [UInt8](UnsafeBufferPointer(start: encoded, count: count))
  }
}

extension BitMask {
  /// The mask as an 8-bit grey PNG: 255 in the mask, 0 elsewhere.
  ///
  /// - Throws: `cannotEncode`, also if the mask has no pixels.
  public func encodedPNG() throws(ImagingError) -> [UInt8] {
    // The type is said, or the samples would be integers of eight bytes.
    let samples: [UInt8] = bits.map { $0 == 0 ? 0 : 255 }
    return try encodePNG(samples, width: width, height: height, channels: 1, depth: 8, level: 1)
  }
}

/// A label map (`labelMap` in Masks) `[height, width]` as a 16-bit grey PNG.
///
/// - Throws: `cannotEncode`, also if the map has no pixels.
public func encodedPNG(labels: [UInt16], width: Int, height: Int) throws(ImagingError) -> [UInt8] {
  precondition(labels.count == width * height, "\(labels.count) labels do not fill \(width)×\(height)")
  return try encodePNG(labels, width: width, height: height, channels: 1, depth: 16, level: 6)
}

private func encodePNG<Sample>(
  _ samples: [Sample], width: Int, height: Int, channels: Int, depth: Int, level: Int
) throws(ImagingError) -> [UInt8] {
  guard width > 0, height > 0 else { throw .cannotEncode(format: .png, reason: "it has no pixels") }
  var message = [CChar](repeating: 0, count: CIC_MESSAGE_LENGTH)
  var encoded: UnsafeMutablePointer<UInt8>?
  var count = 0
  let status = samples.withUnsafeBytes {
    cic_encode_png(
      $0.baseAddress, width, height, Int32(channels), Int32(depth), Int32(level), &encoded, &count, &message)
  }
  guard status == CIC_OK else { throw .cannotEncode(format: .png, reason: text(message)) }
  defer { cic_free(encoded) }
  return [UInt8](UnsafeBufferPointer(start: encoded, count: count))
}

/// A message of the codecs as a string.
func text(_ message: [CChar]) -> String {
  String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
