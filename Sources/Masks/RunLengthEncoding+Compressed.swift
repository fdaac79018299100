extension RunLengthEncoding {
  /// The runs as pycocotools' string: from the fourth run on each as the difference to the run two before it, then six
  /// bits a character, lowest first, of which one says that more follow. Source: `rleToString`.
  public var compressed: String {
    var text: [UInt8] = []
    text.reserveCapacity(counts.count * 2)
    for (index, run) in counts.enumerated() {
      var value = index > 2 ? run - counts[index - 2] : run
      var more = true
      while more {
        var character = UInt8(value & 0x1f)
        value >>= 5
        more = character & 0x10 != 0 ? value != -1 : value != 0
        if more { character |= 0x20 }
        text.append(character + 48)
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Reads pycocotools' string. Source: `rleFrString`, which checks nothing; this checks everything.
  ///
  /// - Throws: every case of `MaskError`.
  public init(height: Int, width: Int, compressed: String) throws(MaskError) {
    let pixels = try Self.pixels(height: height, width: width)
    var counts: [Int] = []
    var sum = 0
    var value = 0
    var shift = 0
    for (offset, byte) in compressed.utf8.enumerated() {
      // No length that fits a mask needs more than seven characters; the rest keeps the shift in bounds.
      guard byte >= 48, byte < 112, shift <= 50 else { throw .unexpectedCharacter(byte: byte, offset: offset) }
      let character = Int(byte) - 48
      value |= (character & 0x1f) << shift
      shift += 5
      if character & 0x20 != 0 { continue }
      if character & 0x10 != 0 { value |= -1 << shift }
      if counts.count > 2 { value += counts[counts.count - 2] }
      guard value >= 0, value <= pixels - sum else {
        throw .runOutOfBounds(index: counts.count, run: value, remaining: pixels - sum)
      }
      counts.append(value)
      sum += value
      (value, shift) = (0, 0)
    }
    guard shift == 0 else { throw .truncated }
    guard sum == pixels else { throw .runsTooShort(sum: sum, expected: pixels) }
    self.init(height: height, width: width, checked: counts)
  }
}
