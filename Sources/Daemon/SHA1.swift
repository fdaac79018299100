/// SHA-1 (FIPS 180-4), only because it names git's objects.
struct SHA1: Sendable {
  private var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
  /// What does not fill a block yet.
  private var pending: [UInt8] = []
  private var count: UInt64 = 0

  /// Takes more bytes.
  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    count += UInt64(bytes.count)
    var start = 0
    if !pending.isEmpty {
      start = min(64 - pending.count, bytes.count)
      pending += bytes[..<start]
      guard pending.count == 64 else { return }
      pending.withUnsafeBytes { Self.compress(&state, $0) }
      pending.removeAll(keepingCapacity: true)
    }
    let whole = (bytes.count - start) / 64 * 64
    if whole > 0 {
      Self.compress(&state, UnsafeRawBufferPointer(rebasing: bytes[start..<start + whole]))
    }
    pending += bytes[(start + whole)...]
  }

  /// The digest of what was taken, 40 digits.
  consuming func hexadecimal() -> String {
    let bits = count * 8
    pending.append(0x80)
    pending += repeatElement(0, count: (120 - pending.count % 64) % 64)
    for shift in stride(from: 56, through: 0, by: -8) {
      pending.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
    }
    pending.withUnsafeBytes { Self.compress(&state, $0) }
    return state.map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
  }

  /// Takes whole blocks of 64 bytes.
  private static func compress(_ state: inout [UInt32], _ blocks: UnsafeRawBufferPointer) {
    func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x << n | x >> (32 - n) }
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { w in
      for block in stride(from: 0, to: blocks.count, by: 64) {
        for i in 0..<16 {
          w[i] = UInt32(bigEndian: blocks.loadUnaligned(fromByteOffset: block + 4 * i, as: UInt32.self))
        }
        for i in 16..<80 { w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1) }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for i in 0..<80 {
          let (mix, constant): (UInt32, UInt32) =
            switch i {
            case ..<20: (b & c | ~b & d, 0x5a82_7999)
            case ..<40: (b ^ c ^ d, 0x6ed9_eba1)
            case ..<60: (b & c | b & d | c & d, 0x8f1b_bcdc)
            default: (b ^ c ^ d, 0xca62_c1d6)
            }
          let next = rotate(a, 5) &+ mix &+ e &+ constant &+ w[i]
          (e, d, c, b, a) = (d, c, rotate(b, 30), a, next)
        }
        state[0] &+= a
        state[1] &+= b
        state[2] &+= c
        state[3] &+= d
        state[4] &+= e
      }
    }
  }
}
