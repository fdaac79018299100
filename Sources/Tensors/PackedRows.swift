/// How a key-value cache keeps its numbers.
public enum CacheFormat: String, Sendable, CaseIterable {
  case fp32
  case fp16
  /// 32 numbers of 8 bits and a half-precision scale, ggml's Q8_0.
  case q8

  var storage: WeightFormat {
    switch self {
    case .fp32: .float32
    case .fp16: .float16
    case .q8: .q8_0
    }
  }
}

/// Cached keys or values that grow no more, in fewer bytes. They lie head after head, so that attention widens the rows of
/// one head at a time, into memory that it uses again for the next.
public struct PackedRows: Sendable {
  /// How many positions there are.
  public let count: Int
  public let format: CacheFormat
  /// The numbers of one head of one position.
  let width: Int
  private let bytesPerHead: Int
  private let bytes: [UInt8]

  /// Packs the first `count` rows.
  ///
  /// - Parameter rows: `[≥ count, heads·d]`. Blocks run on from row to row of a head; the last one ends in zeros.
  public init(_ rows: Tensor, count: Int, heads: Int, format: CacheFormat) {
    let stride = rows.shape[1]
    precondition(count >= 0 && count <= rows.shape[0] && heads > 0 && stride % heads == 0)
    (self.count, self.format, width) = (count, format, stride / heads)
    let (width, storage) = (width, format.storage)
    let numbers = count * width
    let padded = (numbers + storage.blockLength - 1) / storage.blockLength * storage.blockLength
    let bytesPerHead = storage.byteCount(of: padded)
    self.bytesPerHead = bytesPerHead
    bytes = rows.withUnsafe { rows in
      [UInt8](unsafeUninitializedCapacity: heads * bytesPerHead) { target, filled in
        filled = heads * bytesPerHead
        guard let rows = rows.baseAddress, let base = target.baseAddress else { return }
        let start = UnsafeMutableRawPointer(base)
        ComputePool.forEach(heads, grain: max(1, (1 << 16) / max(numbers, 1))) { part in
          let dense = Buffer(uninitialized: padded)
          for head in part {
            for row in 0..<count {
              (dense.base + row * width).update(from: rows + row * stride + head * width, count: width)
            }
            (dense.base + numbers).update(repeating: 0, count: padded - numbers)
            Self.pack(dense.base, padded, format, to: start + head * bytesPerHead)
          }
        }
      }
    }
  }

  public var byteCount: Int { bytes.count }

  /// How many float32 numbers `widen` may write.
  func wideCount(_ rows: Int) -> Int {
    let block = format.storage.blockLength
    return (rows * width + block - 1) / block * block
  }

  /// Writes the first `rows` rows of a head as float32, `[rows, d]`, and the rest of their last block.
  func widen(head: Int, rows: Int, to target: UnsafeMutablePointer<Float>) {
    precondition(rows <= count)
    bytes.withUnsafeBytes { all in
      guard let base = all.baseAddress else { return }
      format.storage.dequantize(base + head * bytesPerHead, to: target, count: wideCount(rows))
    }
  }

  /// Whether both are the same memory.
  func isSame(as other: PackedRows) -> Bool {
    bytes.withUnsafeBytes { mine in other.bytes.withUnsafeBytes { mine.baseAddress == $0.baseAddress } }
  }

  private static func pack(
    _ numbers: UnsafePointer<Float>, _ count: Int, _ format: CacheFormat, to target: UnsafeMutableRawPointer
  ) {
    switch format {
    case .fp32: target.copyMemory(from: numbers, byteCount: 4 * count)
    case .fp16:
      for i in 0..<count { target.storeBytes(of: half(numbers[i]).littleEndian, toByteOffset: 2 * i, as: UInt16.self) }
    case .q8:
      // As ggml's quantize_row_q8_0: the greatest magnitude becomes 127.
      for block in 0..<count / 32 {
        let from = numbers + 32 * block
        let to = target + 34 * block
        var greatest: Float = 0
        for i in 0..<32 { greatest = max(greatest, abs(from[i])) }
        let scale = greatest / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        to.storeBytes(of: half(scale).littleEndian, as: UInt16.self)
        for i in 0..<32 {
          let value = (from[i] * inverse).rounded(.toNearestOrAwayFromZero)
          to.storeBytes(of: Int8(max(-127, min(127, value))), toByteOffset: 2 + i, as: Int8.self)
        }
      }
    }
  }

  /// The bits of the nearest half, ties to even.
  static func half(_ value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let magnitude = value.bitPattern & 0x7fff_ffff
    if magnitude >= 0x4780_0000 {  // 65536 and more, infinities, NaN
      return sign | (magnitude > 0x7f80_0000 ? 0x7e00 : 0x7c00)
    }
    if magnitude < 0x3880_0000 {  // Subnormal: adding ½ lets the FPU round at the right place.
      let rounded = Float(bitPattern: magnitude) + 0.5
      return sign | UInt16(truncatingIfNeeded: rounded.bitPattern &- Float(0.5).bitPattern)
    }
    let odd = (magnitude >> 13) & 1
    let rounded = magnitude &- (112 << 23) &+ 0xfff &+ odd
    return sign | UInt16(truncatingIfNeeded: rounded >> 13)
  }
}
