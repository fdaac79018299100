import CImageCodecs
import Foundation

extension Image {
  /// Decodes a PNG or JPEG, told apart by content, into upright RGB.
  ///
  /// Equal, pixel by pixel, to Pillow's `ImageOps.exif_transpose(Image.open(…)).convert("RGB")`: alpha is dropped, colour
  /// profiles and gamma are not applied. One exception: 16-bit grey becomes its high eight bits, where Pillow cuts
  /// everything above 255 to white.
  ///
  /// - Throws: `unknownFormat`, `tooLarge` (from the header, before pixels are allocated), `truncated`, `malformed`.
  public static func decode(_ bytes: [UInt8], limits: DecodeLimits = .default) throws(ImagingError) -> Image {
    try limits.check(bytes: bytes.count)
    let header = try ImageHeader(bytes)
    try limits.check(width: header.width, height: header.height)
    let length = header.width * header.height * 3
    var status = CIC_OK
    var message = [CChar](repeating: 0, count: CIC_MESSAGE_LENGTH)
    let pixels = [UInt8](unsafeUninitializedCapacity: length) { out, count in
      let decoder = header.format == .png ? cic_decode_png : cic_decode_jpeg
      status = decoder(bytes, bytes.count, header.width, header.height, out.baseAddress, &message)
      count = status == CIC_OK ? length : 0
    }
    let reason = text(message)
    switch status {
    case CIC_OK: break
    case CIC_TRUNCATED: throw .truncated(format: header.format, reason: reason)
    default: throw .malformed(format: header.format, reason: reason)
    }
    return Image(width: header.width, height: header.height, pixels: pixels).upright(from: header.orientation)
  }

  /// Reads a picture file; its size is checked before it is read.
  ///
  /// - Throws: `cannotOpen`, which names the file, and `tooLarge` of its bytes.
  public static func load(path: String, limits: DecodeLimits = .default) throws(ImagingError) -> Image {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      throw .cannotOpen(path: path, reason: String(cString: strerror(errno)))
    }
    guard information.st_mode & S_IFMT == S_IFREG else { throw .cannotOpen(path: path, reason: "not a regular file") }
    let size = Int(information.st_size)
    try limits.check(bytes: size)
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        let got = Foundation.read(descriptor, buffer.baseAddress?.advanced(by: count), size - count)
        if got < 0, errno == EINTR { continue }
        if got < 0 { failure = errno }
        if got <= 0 { break }
        count += got
      }
    }
    guard failure == 0 else { throw .cannotOpen(path: path, reason: String(cString: strerror(failure))) }
    do {
      return try decode(bytes, limits: limits)
    } catch {
      throw .cannotOpen(path: path, reason: "\(error)")
    }
  }
}
