/// Steele, Lea and Flood's generator: the same numbers in every run.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// - Returns: a number below `bound`, 0 if that is 0.
  mutating func below(_ bound: Int) -> Int { bound == 0 ? 0 : Int(next() % UInt64(bound)) }
}

/// Changes bytes as damage and malice do: few at a time, and lengths and offsets in particular.
struct Mutator {
  /// Longer inputs are cut to this.
  static let lengthLimit = 1 << 18

  private var random: SplitMix64
  /// Words of the format, which chance would not find.
  private let words: [[UInt8]]

  init(seed: UInt64, words: [String]) { (random, self.words) = (SplitMix64(state: seed), words.map { Array($0.utf8) }) }

  mutating func pick<T>(_ items: [T]) -> T { items[random.below(items.count)] }

  mutating func mutate(_ input: [UInt8], of corpus: [[UInt8]]) -> [UInt8] {
    var bytes = input
    // Mostly one change; up to sixteen.
    for _ in 0...random.below(1 << random.below(5)) { change(&bytes, corpus) }
    return bytes.count > Self.lengthLimit ? Array(bytes.prefix(Self.lengthLimit)) : bytes
  }

  private mutating func change(_ bytes: inout [UInt8], _ corpus: [[UInt8]]) {
    guard !bytes.isEmpty else { return bytes = pick(corpus) }
    let at = place(bytes.count)
    switch random.below(11) {
    case 0: bytes[at] = UInt8(random.below(256))
    case 1: bytes[at] ^= 1 << UInt8(random.below(8))
    case 2: bytes[at] &+= UInt8(random.below(9)) &- 4
    case 3: overwrite(&bytes, at, number())
    case 4: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(1 << random.below(9))))
    case 5: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 1 + random.below(64))], at: place(bytes.count))
    case 6: bytes.removeSubrange(at...)
    case 7: digits(&bytes, at)
    case 8 where !words.isEmpty: bytes.insert(contentsOf: pick(words), at: at)
    case 9 where !words.isEmpty: overwrite(&bytes, at, pick(words))
    default:
      let other = pick(corpus)
      let from = random.below(other.count)
      let piece = other[from..<min(other.count, from + 1 + random.below(1 << random.below(12)))]
      if random.below(2) == 0 { bytes.insert(contentsOf: piece, at: at) } else { overwrite(&bytes, at, Array(piece)) }
    }
  }

  /// Structure lies at the ends of most formats: half of the time within a few hundred bytes of one.
  private mutating func place(_ count: Int) -> Int {
    let near = min(count, 1 << (2 + random.below(8)))
    switch random.below(4) {
    case 0: return random.below(near)
    case 1: return count - 1 - random.below(near)
    default: return random.below(count)
    }
  }

  private func overwrite(_ bytes: inout [UInt8], _ at: Int, _ piece: [UInt8]) {
    let end = min(bytes.count, at + piece.count)
    bytes.replaceSubrange(at..<end, with: piece.prefix(end - at))
  }

  /// A number at the edge of something, in one of the ways that formats write them.
  private mutating func number() -> [UInt8] {
    let power = UInt64(1) << UInt64(random.below(64))
    let value = pick([0, power, power &- 1, power &+ 1, 0 &- power])
    let bytes = withUnsafeBytes(of: value.littleEndian) { Array($0) }
    let size = pick([1, 2, 4, 8])
    return random.below(2) == 0 ? Array(bytes.prefix(size)) : bytes.prefix(size).reversed()
  }

  /// Another number in the place of one in decimal digits, if there is one behind `at`.
  private mutating func digits(_ bytes: inout [UInt8], _ at: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    guard let start = bytes[at...].prefix(256).firstIndex(where: isDigit) else { return }
    let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    let power = UInt64(1) << UInt64(random.below(64))
    let text = pick(["0", "1", "-1", "\(power)", "\(power - 1)", "-\(power)", "99999999999999999999", "1e400", "0.5"])
    bytes.replaceSubrange(start..<end, with: text.utf8)
  }
}
