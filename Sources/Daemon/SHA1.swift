/// SHA-1 (FIPS 180-4), only because it names git's objects.
struct SHA1: Sendable {
  private var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
  private var blocks = HashBlocks()

  /// Takes more bytes.
  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    blocks.update(bytes) { Self.compress(&state, $0) }
  }

  /// The digest of what was taken, 40 digits.
  consuming func hexadecimal() -> String {
    blocks.finish { Self.compress(&state, $0) }
    return HashBlocks.hexadecimal(state)
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
