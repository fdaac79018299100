/// The picture formats that are read and written.
public enum ImageFormat: String, Sendable, CustomStringConvertible {
  case png = "PNG"
  case jpeg = "JPEG"

  public var description: String { rawValue }
}

/// What a picture's first bytes tell, without decoding it.
public struct ImageHeader: Sendable, Equatable {
  public let format: ImageFormat
  /// As stored, before the orientation is applied.
  public let width: Int
  public let height: Int
  public let orientation: Orientation

  private static let pngSignature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
  private static let jpegSignature: [UInt8] = [0xff, 0xd8, 0xff]

  /// - Throws: `unknownFormat`, `truncated`, `malformed`.
  public init(_ bytes: [UInt8]) throws(ImagingError) {
    if bytes.starts(with: Self.pngSignature) {
      self = try Self.png(bytes)
    } else if bytes.starts(with: Self.jpegSignature) {
      self = try Self.jpeg(bytes)
    } else if !bytes.isEmpty, Self.pngSignature.starts(with: bytes) {
      throw .truncated(format: .png, reason: "it ends within its signature")
    } else if !bytes.isEmpty, Self.jpegSignature.starts(with: bytes) {
      throw .truncated(format: .jpeg, reason: "it ends within its signature")
    } else {
      throw .unknownFormat
    }
  }

  private init(_ format: ImageFormat, width: Int, height: Int, orientation: Orientation) {
    (self.format, self.width, self.height, self.orientation) = (format, width, height, orientation)
  }

  /// Walks the chunks for IHDR, which is first, and eXIf. Source: PNG (third edition), sections 5.3 and 11.
  private static func png(_ bytes: [UInt8]) throws(ImagingError) -> ImageHeader {
    guard bytes.count >= 33 else { throw .truncated(format: .png, reason: "it ends within its header") }
    guard bytes[12..<16].elementsEqual("IHDR".utf8) else {
      throw .malformed(format: .png, reason: "its first chunk is not IHDR")
    }
    let (width, height) = (bigEndian32(bytes, 16), bigEndian32(bytes, 20))
    guard width > 0, height > 0 else { throw .malformed(format: .png, reason: "its size is \(width)×\(height)") }
    var orientation = Orientation.up
    var offset = 8
    while offset + 12 <= bytes.count {
      let length = bigEndian32(bytes, offset)
      guard length <= bytes.count - offset - 12 else { break }
      if bytes[offset + 4..<offset + 8].elementsEqual("eXIf".utf8) {
        orientation = Orientation(exif: bytes[offset + 8..<offset + 8 + length])
        break
      }
      offset += 12 + length
    }
    return ImageHeader(.png, width: width, height: height, orientation: orientation)
  }

  /// Walks the markers up to the first scan for a frame header and Exif. Source: ITU-T T.81, annex B.
  private static func jpeg(_ bytes: [UInt8]) throws(ImagingError) -> ImageHeader {
    var size: (width: Int, height: Int)?
    var orientation: Orientation?
    var offset = 2
    while true {
      guard let code = nextMarker(bytes, &offset) else {
        throw .truncated(format: .jpeg, reason: "it ends before its first scan")
      }
      switch code {
      case 0x01, 0xd0...0xd7: continue  // Markers without a segment.
      case 0xd9: throw .malformed(format: .jpeg, reason: "it ends before its first scan")
      case 0xda:
        guard let size else { throw .malformed(format: .jpeg, reason: "its first scan comes before its size") }
        return ImageHeader(.jpeg, width: size.width, height: size.height, orientation: orientation ?? .up)
      default: break
      }
      guard offset + 2 <= bytes.count else { throw .truncated(format: .jpeg, reason: "it ends within a segment") }
      let length = Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
      guard length >= 2 else { throw .malformed(format: .jpeg, reason: "a segment claims \(length) bytes") }
      guard offset + length <= bytes.count else {
        throw .truncated(format: .jpeg, reason: "it ends within a segment")
      }
      let segment = bytes[offset + 2..<offset + length]
      offset += length
      let isFrame = (0xc0...0xcf).contains(code) && code != 0xc4 && code != 0xc8 && code != 0xcc
      if isFrame, size == nil {
        guard segment.count >= 6 else { throw .malformed(format: .jpeg, reason: "its frame header is too short") }
        let start = segment.startIndex
        size = (
          width: Int(bytes[start + 3]) << 8 | Int(bytes[start + 4]),
          height: Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
        )
        guard let size, size.width > 0, size.height > 0 else {
          throw .malformed(format: .jpeg, reason: "its size is zero")
        }
      } else if code == 0xe1, orientation == nil, segment.starts(with: Array("Exif\0\0".utf8)) {
        orientation = Orientation(exif: segment.dropFirst(6))
      }
    }
  }

  /// The code after the next 0xff that is neither filling nor data; as in libjpeg, what lies before it is passed over.
  private static func nextMarker(_ bytes: [UInt8], _ offset: inout Int) -> UInt8? {
    while offset + 1 < bytes.count {
      if bytes[offset] == 0xff, bytes[offset + 1] != 0xff, bytes[offset + 1] != 0 {
        offset += 2
        return bytes[offset - 1]
      }
      offset += 1
    }
    return nil
  }

  private static func bigEndian32(_ bytes: [UInt8], _ offset: Int) -> Int {
    bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
  }
}
