/// What SHA-1 and SHA-256 share (FIPS 180-4, §5): bytes in blocks of 64, and the padding with their count in bits.
struct HashBlocks: Sendable {
  /// What does not fill a block yet.
  private var pending: [UInt8] = []
  private var count: UInt64 = 0

  /// Takes more bytes; `compress` gets whole blocks.
  mutating func update(_ bytes: UnsafeRawBufferPointer, _ compress: (UnsafeRawBufferPointer) -> Void) {
    count += UInt64(bytes.count)
    var start = 0
    if !pending.isEmpty {
      start = min(64 - pending.count, bytes.count)
      pending += bytes[..<start]
      guard pending.count == 64 else { return }
      pending.withUnsafeBytes(compress)
      pending.removeAll(keepingCapacity: true)
    }
    let whole = (bytes.count - start) / 64 * 64
    if whole > 0 { compress(UnsafeRawBufferPointer(rebasing: bytes[start..<start + whole])) }
    pending += bytes[(start + whole)...]
  }

  /// Pads what is left; `compress` gets the last blocks.
  consuming func finish(_ compress: (UnsafeRawBufferPointer) -> Void) {
    let bits = count * 8
    pending.append(0x80)
    pending += repeatElement(0, count: (120 - pending.count % 64) % 64)
    for shift in stride(from: 56, through: 0, by: -8) {
      pending.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
    }
    pending.withUnsafeBytes(compress)
  }

  /// The state's words as lower-case hexadecimal digits.
  static func hexadecimal(_ state: [UInt32]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    let text = state.flatMap { word in
      stride(from: 28, through: 0, by: -4).map { digits[Int(word >> UInt32($0) & 15)] }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
