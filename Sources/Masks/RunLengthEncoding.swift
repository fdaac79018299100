/// A mask as COCO writes it: the lengths of its runs in column-major order, zeros first.
///
/// Source: `pycocotools/common/maskApi.c`. A mask made from pixels is canonical (no empty run but the first); runs from
/// outside may hold empty ones, which are kept.
public struct RunLengthEncoding: Sendable, Equatable {
  /// The longest side that a mask from outside may have.
  public static let maximumSide = 1 << 16
  /// The most pixels that a mask from outside may have, so that a short string cannot ask for a large buffer.
  public static let maximumPixels = 1 << 26

  public let height: Int
  public let width: Int
  /// Run lengths, of zeros and ones in turn; they add up to `height · width`.
  public let counts: [Int]

  /// Checks runs from outside.
  ///
  /// - Throws: `sizeOutOfBounds`, `runOutOfBounds`, `runsTooShort`.
  public init(height: Int, width: Int, counts: [Int]) throws(MaskError) {
    let pixels = try Self.pixels(height: height, width: width)
    var sum = 0
    for (index, run) in counts.enumerated() {
      guard run >= 0, run <= pixels - sum else {
        throw .runOutOfBounds(index: index, run: run, remaining: pixels - sum)
      }
      sum += run
    }
    guard sum == pixels else { throw .runsTooShort(sum: sum, expected: pixels) }
    self.init(height: height, width: width, checked: counts)
  }

  /// The runs of a mask.
  public init(_ mask: BitMask) {
    let (width, height) = (mask.width, mask.height)
    guard width > 0, height > 0 else {
      // pycocotools gives an image without pixels one run of length zero.
      self.init(height: height, width: width, checked: [0])
      return
    }
    // Scanning columns of a row-major mask misses the cache at each pixel. Compare each row with the one above it
    // instead, eight pixels at a time, and sort the few changes into columns.
    var columns: [Int32] = []
    var rows: [Int32] = []
    var perColumn = [Int](repeating: 0, count: width + 1)
    mask.bits.withUnsafeBufferPointer { bits in
      for x in 0..<width {
        // The pixel before the top of a column is the bottom of the column to its left; before the first, zero.
        let before = x == 0 ? 0 : bits[(height - 1) * width + x - 1]
        if bits[x] != before {
          columns.append(Int32(x))
          rows.append(0)
          perColumn[x + 1] += 1
        }
      }
      let raw = UnsafeRawBufferPointer(bits)
      for y in 1..<max(height, 1) {
        let (row, above) = (y * width, (y - 1) * width)
        var x = 0
        while x < width {
          if x + 8 <= width,
            raw.loadUnaligned(fromByteOffset: row + x, as: UInt64.self)
              == raw.loadUnaligned(fromByteOffset: above + x, as: UInt64.self)
          {
            x += 8
            continue
          }
          let end = min(x + 8, width)
          while x < end {
            if bits[row + x] != bits[above + x] {
              columns.append(Int32(x))
              rows.append(Int32(y))
              perColumn[x + 1] += 1
            }
            x += 1
          }
        }
      }
    }
    for x in 0..<width { perColumn[x + 1] += perColumn[x] }
    // A stable counting sort: within a column the changes are already from top to bottom.
    var positions = [Int](repeating: 0, count: columns.count)
    for (x, y) in zip(columns, rows) {
      positions[perColumn[Int(x)]] = Int(x) * height + Int(y)
      perColumn[Int(x)] += 1
    }
    var counts: [Int] = []
    counts.reserveCapacity(positions.count + 1)
    var last = 0
    for position in positions {
      counts.append(position - last)
      last = position
    }
    counts.append(width * height - last)
    self.init(height: height, width: width, checked: counts)
  }

  /// The pixels of the mask.
  public func bitMask() -> BitMask {
    var mask = BitMask(width: width, height: height)
    guard width > 0, height > 0 else { return mask }
    let (width, height) = (width, height)
    mask.bits.withUnsafeMutableBufferPointer { bits in
      // First where a column changes from the pixel above (or begins with a one), then each row adds the row above it.
      var position = 0
      for (index, run) in counts.enumerated() {
        defer { position += run }
        guard index % 2 == 1, run > 0 else { continue }
        let (start, end) = (position, position + run)
        bits[start % height * width + start / height] ^= 1
        var top = (start / height + 1) * height
        while top < end {
          bits[top / height] ^= 1
          top += height
        }
        if end % height != 0 { bits[end % height * width + end / height] ^= 1 }
      }
      for i in width..<max(bits.count, width) { bits[i] ^= bits[i - width] }
    }
    return mask
  }

  /// Takes runs that are known to fill the mask.
  init(height: Int, width: Int, checked counts: [Int]) {
    (self.height, self.width, self.counts) = (height, width, counts)
  }

  /// - Returns: height · width.
  static func pixels(height: Int, width: Int) throws(MaskError) -> Int {
    guard (0...maximumSide).contains(height), (0...maximumSide).contains(width), height * width <= maximumPixels
    else { throw .sizeOutOfBounds(height: height, width: width) }
    return height * width
  }
}
