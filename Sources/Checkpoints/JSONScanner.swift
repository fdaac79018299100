/// Reads a JSON text piece by piece, as its caller asks for it, and builds no tree: a header costs the memory of what is
/// kept of it. Strict as RFC 8259 is; whole numbers beyond `Int` become its ends.
struct JSONScanner {
  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private var position = 0

  private static let depthLimit = 64

  init(_ bytes: UnsafeRawBufferPointer, path: String) { (self.bytes, self.path) = (bytes, path) }

  /// An object; `member` is given each key and reads its value.
  mutating func object(
    _ member: (inout JSONScanner, String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("{")
    if take("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// An array; `element` reads each value.
  mutating func array(_ element: (inout JSONScanner) throws(CheckpointError) -> Void) throws(CheckpointError) {
    try expect("[")
    if take("]") { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  mutating func integer() throws(CheckpointError) -> Int {
    skipSpace()
    let start = position
    let isNegative = takeByte("-")
    var value = 0
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, overran) = tens.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
      value = overflow || overran ? .max : sum
      position += 1
    }
    let digits = position - start - (isNegative ? 1 : 0)
    guard digits > 0, digits == 1 || bytes[position - digits] != UInt8(ascii: "0") else {
      throw malformed("a whole number")
    }
    return isNegative ? -value : value
  }

  /// An array of whole numbers.
  mutating func integers(atMost limit: Int, what: String) throws(CheckpointError) -> [Int] {
    var numbers: [Int] = []
    try array { json throws(CheckpointError) in
      guard numbers.count < limit else { throw .tooMuch(path: json.path, what: what, limit: limit) }
      numbers.append(try json.integer())
    }
    return numbers
  }

  mutating func string() throws(CheckpointError) -> String {
    try expect("\"")
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw malformed("text in UTF-8") }
        return string
      case UInt8(ascii: "\\"): text += String(try escape()).utf8
      case 0..<0x20: throw malformed("an escape instead of a control character")
      default: text.append(byte)
      }
    }
    throw malformed("'\"'")
  }

  /// Passes over any value.
  mutating func skip(depth: Int = 0) throws(CheckpointError) {
    guard depth < Self.depthLimit else {
      throw .tooMuch(path: path, what: "levels of nesting in its JSON", limit: Self.depthLimit)
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"):
      try object { json, _ throws(CheckpointError) in try json.skip(depth: depth + 1) }
    case UInt8(ascii: "["): try array { json throws(CheckpointError) in try json.skip(depth: depth + 1) }
    case UInt8(ascii: "\""): _ = try string()
    default:
      let start = position
      while let byte = next, Self.isOfNumberOrWord(byte) { position += 1 }
      let text = String(decoding: bytes[start..<position], as: UTF8.self)
      guard ["true", "false", "null"].contains(text) || (text.count < 64 && Double(text) != nil) else {
        position = start
        throw malformed("a value")
      }
    }
  }

  /// Nothing but space may be left.
  mutating func end() throws(CheckpointError) {
    skipSpace()
    guard next == nil else { throw malformed("its end") }
  }

  private static func isOfNumberOrWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
    case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "E"): true
    default: false
    }
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func malformed(_ expected: String) -> CheckpointError {
    .malformed(path: path, reason: "its JSON wants \(expected) at byte \(position)")
  }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func takeByte(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  /// Takes a character, with space before it, if it is the next one.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    return takeByte(character)
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(CheckpointError) {
    guard take(character) else { throw malformed("'\(character)'") }
  }

  /// What stands behind a backslash.
  private mutating func escape() throws(CheckpointError) -> Unicode.Scalar {
    guard let byte = next else { throw malformed("an escape") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xd800..<0xdc00).contains(code), takeByte("\\"), takeByte("u") {
        let low = try hexadecimal()
        guard (0xdc00..<0xe000).contains(low) else { throw malformed("the second half of a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw malformed("a Unicode scalar") }
      return scalar
    default: throw malformed("an escape of JSON")
    }
  }

  private mutating func hexadecimal() throws(CheckpointError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw malformed("four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
