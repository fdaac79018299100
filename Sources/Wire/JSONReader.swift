/// What can be wrong with a JSON text, and at which byte.
public enum JSONError: Error, Equatable, Sendable {
  case tooLarge(bytes: Int, limit: Int)
  case tooDeep(limit: Int, offset: Int)
  case malformed(expected: String, offset: Int)
  case duplicateKey(String, offset: Int)
}

extension JSONError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooLarge(let bytes, let limit): "it has \(bytes) bytes; at most \(limit) are read"
    case .tooDeep(let limit, let offset): "it nests deeper than \(limit) levels at byte \(offset)"
    case .malformed(let expected, let offset): "\(expected) is expected at byte \(offset)"
    case .duplicateKey(let key, let offset): "the key '\(key)' comes twice in one object, at byte \(offset)"
    }
  }
}

/// How much JSON is read.
public struct JSONLimits: Sendable, Equatable {
  public var bytes: Int
  public var depth: Int

  public init(bytes: Int = 1 << 20, depth: Int = 32) { (self.bytes, self.depth) = (bytes, depth) }
}

extension JSONValue {
  /// Reads one JSON document, which fills all the bytes.
  ///
  /// Strict where the standard is (RFC 8259), and about duplicate keys, of which readers would pick different ones.
  /// Lenient for `NaN`, `Infinity` and numbers too large for a double: they become values that are not finite, and
  /// the caller, who must refuse them, can say where they are.
  public init(parsing bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
    guard bytes.count <= limits.bytes else { throw .tooLarge(bytes: bytes.count, limit: limits.bytes) }
    var reader = JSONReader(bytes: bytes, depth: limits.depth)
    self = try reader.document()
  }
}

/// A recursive-descent reader; the depth limit bounds the stack and the size limit everything else.
private struct JSONReader {
  let bytes: [UInt8]
  let limit: Int
  var position = 0
  var depth = 0

  init(bytes: [UInt8], depth: Int) { (self.bytes, self.limit) = (bytes, depth) }

  mutating func document() throws(JSONError) -> JSONValue {
    skipSpace()
    let result = try value()
    skipSpace()
    guard position == bytes.count else { throw expected("the end") }
    return result
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func expected(_ what: String) -> JSONError { .malformed(expected: what, offset: position) }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  /// Takes a byte if it is the next one.
  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  private mutating func take(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard bytes.count - position >= count else { return false }
    for index in 0..<count where bytes[position + index] != word.utf8Start[index] { return false }
    position += count
    return true
  }

  private mutating func value() throws(JSONError) -> JSONValue {
    switch next {
    case UInt8(ascii: "{"): return .object(try nested { reader throws(JSONError) in try reader.object() })
    case UInt8(ascii: "["): return .array(try nested { reader throws(JSONError) in try reader.array() })
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): if take("true") { return .bool(true) }
    case UInt8(ascii: "f"): if take("false") { return .bool(false) }
    case UInt8(ascii: "n"): if take("null") { return .null }
    case UInt8(ascii: "N"): if take("NaN") { return .number(.nan) }
    case UInt8(ascii: "I"): if take("Infinity") { return .number(.infinity) }
    case UInt8(ascii: "-"):
      if take("-Infinity") { return .number(-.infinity) }
      return try number()
    case let byte? where isDigit(byte): return try number()
    default: break
    }
    throw expected("a value")
  }

  private mutating func nested<T>(_ body: (inout JSONReader) throws(JSONError) -> T) throws(JSONError) -> T {
    guard depth < limit else { throw .tooDeep(limit: limit, offset: position) }
    depth += 1
    defer { depth -= 1 }
    position += 1
    skipSpace()
    return try body(&self)
  }

  private mutating func array() throws(JSONError) -> [JSONValue] {
    var elements: [JSONValue] = []
    if take(UInt8(ascii: "]")) { return elements }
    while true {
      elements.append(try value())
      skipSpace()
      if take(UInt8(ascii: "]")) { return elements }
      guard take(UInt8(ascii: ",")) else { throw expected("',' or ']'") }
      skipSpace()
    }
  }

  private mutating func object() throws(JSONError) -> JSONObject {
    var entries: [(String, JSONValue)] = []
    var seen: Set<ExactText> = []
    if take(UInt8(ascii: "}")) { return JSONObject() }
    while true {
      let start = position
      guard next == UInt8(ascii: "\"") else { throw expected("a key in quotes") }
      let key = try string()
      guard seen.insert(ExactText(key)).inserted else { throw .duplicateKey(String(key.prefix(64)), offset: start) }
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw expected("':'") }
      skipSpace()
      entries.append((key, try value()))
      skipSpace()
      if take(UInt8(ascii: "}")) { return JSONObject(entries) }
      guard take(UInt8(ascii: ",")) else { throw expected("',' or '}'") }
      skipSpace()
    }
  }

  private mutating func digits() throws(JSONError) {
    guard let byte = next, isDigit(byte) else { throw expected("a digit") }
    while let byte = next, isDigit(byte) { position += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

  private mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    var isInteger = true
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) { try digits() }
    if take(UInt8(ascii: ".")) {
      isInteger = false
      try digits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isInteger = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    // Swift reads a number that is too large as an infinity, and one too small as 0.
    guard let value = Double(text) else { throw .malformed(expected: "a number", offset: start) }
    return .number(value)
  }

  private mutating func string() throws(JSONError) -> String {
    position += 1
    let start = position
    var text: [UInt8] = []
    var run = position
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        text += bytes[run..<position]
        position += 1
        guard let string = String(validating: text, as: UTF8.self) else {
          throw .malformed(expected: "text in UTF-8", offset: start)
        }
        return string
      case UInt8(ascii: "\\"):
        text += bytes[run..<position]
        position += 1
        text += try escape()
        run = position
      case 0..<0x20: throw expected("an escape instead of a control character")
      default: position += 1
      }
    }
    throw expected("'\"'")
  }

  /// What stands behind a backslash, as UTF-8.
  private mutating func escape() throws(JSONError) -> [UInt8] {
    guard let byte = next else { throw expected("an escape") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if code >= 0xD800 && code < 0xDC00 {
        guard take("\\u") else { throw expected("the second half of a surrogate pair") }
        let low = try hexadecimal()
        guard low >= 0xDC00 && low < 0xE000 else { throw expected("the second half of a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw expected("a Unicode scalar") }
      return Array(String(Character(scalar)).utf8)
    default:
      position -= 1
      throw expected("an escape of JSON")
    }
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw expected("four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
