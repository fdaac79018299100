/// How raw pixels lie in memory: one byte a channel, row-major.
public enum RawEncoding: String, Sendable, CaseIterable {
  case rgb8, bgr8, rgba8, bgra8, mono8

  /// Bytes for each pixel.
  public var channels: Int {
    switch self {
    case .rgb8, .bgr8: 3
    case .rgba8, .bgra8: 4
    case .mono8: 1
    }
  }

  /// Which bytes of a pixel are red, green and blue.
  var order: (red: Int, green: Int, blue: Int) {
    switch self {
    case .rgb8, .rgba8: (0, 1, 2)
    case .bgr8, .bgra8: (2, 1, 0)
    case .mono8: (0, 0, 0)
    }
  }
}

extension Image {
  /// Takes raw pixels, for instance a camera's. Alpha is dropped.
  ///
  /// - Parameter step: bytes from the start of one row to the start of the next; at least `width · channels`.
  /// - Throws: `invalidSize`, `tooLarge`, `tooFewBytes`. More bytes than needed are no error.
  public init(
    raw: [UInt8], encoding: RawEncoding, width: Int, height: Int, step: Int, limits: DecodeLimits = .default
  ) throws(ImagingError) {
    guard width > 0, height > 0 else {
      throw .invalidSize(width: width, height: height, step: step, reason: "both sides must be positive")
    }
    try limits.check(width: width, height: height)
    let channels = encoding.channels
    guard step >= width * channels else {
      throw .invalidSize(
        width: width, height: height, step: step,
        reason: "a row of \(encoding.rawValue) needs a step of at least \(width * channels)")
    }
    // The last row may end without its filling.
    let (rows, overflow) = step.multipliedReportingOverflow(by: height - 1)
    guard !overflow, rows <= Int.max - width * channels else {
      throw .invalidSize(width: width, height: height, step: step, reason: "the step is too large")
    }
    guard raw.count >= rows + width * channels else {
      throw .tooFewBytes(expected: rows + width * channels, actual: raw.count)
    }
    let order = encoding.order
    let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { out, count in
      raw.withUnsafeBufferPointer { raw in
        var target = 0
        for y in 0..<height {
          var from = y * step
          for _ in 0..<width {
            out[target] = raw[from + order.red]
            out[target + 1] = raw[from + order.green]
            out[target + 2] = raw[from + order.blue]
            target += 3
            from += channels
          }
        }
      }
      count = width * height * 3
    }
    self.init(width: width, height: height, pixels: pixels)
  }
}
