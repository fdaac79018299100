/// How the stored pixels must be turned to stand upright. The numbers are Exif's (tag 0x0112).
public enum Orientation: Int, Sendable, CaseIterable {
  case up = 1
  case upMirrored = 2
  case down = 3
  case downMirrored = 4
  case leftMirrored = 5
  case right = 6
  case rightMirrored = 7
  case left = 8

  /// Reads the orientation out of Exif data, which begins with a TIFF header; `up` if there is none or it makes no sense.
  ///
  /// Source: Exif 2.32, section 4.5; TIFF 6.0, section 2.
  init(exif: ArraySlice<UInt8>) {
    self = Self.parse([UInt8](exif)) ?? .up
  }

  private static func parse(_ bytes: [UInt8]) -> Orientation? {
    let isLittleEndian = bytes.starts(with: [0x49, 0x49, 42, 0])
    guard isLittleEndian || bytes.starts(with: [0x4d, 0x4d, 0, 42]) else { return nil }
    func number(_ offset: Int, _ size: Int) -> Int? {
      guard offset >= 0, offset <= bytes.count - size else { return nil }
      let field = bytes[offset..<offset + size]
      return isLittleEndian
        ? field.reversed().reduce(0) { $0 << 8 | Int($1) } : field.reduce(0) { $0 << 8 | Int($1) }
    }
    guard let directory = number(4, 4), let count = number(directory, 2) else { return nil }
    for index in 0..<count {
      let entry = directory + 2 + index * 12
      guard let tag = number(entry, 2) else { return nil }
      guard tag == 0x0112 else { continue }
      // A SHORT lies at the start of the value field, a LONG fills it.
      guard let value = number(entry + 8, number(entry + 2, 2) == 4 ? 4 : 2) else { return nil }
      return Orientation(rawValue: value)
    }
    return nil
  }
}

extension Image {
  /// The picture, turned and mirrored so that it stands upright.
  public func upright(from orientation: Orientation) -> Image {
    // Where output pixel (x, y) comes from: origin + x · acrossStep + y · downStep, counted in pixels.
    let (w, h) = (width, height)
    let (origin, acrossStep, downStep): (Int, Int, Int)
    switch orientation {
    case .up: return self
    case .upMirrored: (origin, acrossStep, downStep) = (w - 1, -1, w)
    case .down: (origin, acrossStep, downStep) = (w * h - 1, -1, -w)
    case .downMirrored: (origin, acrossStep, downStep) = (w * (h - 1), 1, -w)
    case .leftMirrored: (origin, acrossStep, downStep) = (0, w, 1)
    case .right: (origin, acrossStep, downStep) = (w * (h - 1), -w, 1)
    case .rightMirrored: (origin, acrossStep, downStep) = (w * h - 1, -w, -1)
    case .left: (origin, acrossStep, downStep) = (w - 1, w, -1)
    }
    let isTurned = abs(acrossStep) == w && orientation.rawValue >= 5
    let (outWidth, outHeight) = isTurned ? (h, w) : (w, h)
    let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { out, count in
      pixels.withUnsafeBufferPointer { source in
        var target = 0
        for y in 0..<outHeight {
          var from = (origin + y * downStep) * 3
          for _ in 0..<outWidth {
            for channel in 0..<3 { out[target + channel] = source[from + channel] }
            target += 3
            from += acrossStep * 3
          }
        }
      }
      count = pixels.count
    }
    return Image(width: outWidth, height: outHeight, pixels: turned)
  }
}
