/// The little of Protocol Buffers' wire format that `tokenizer.model` needs, over bytes that may be anything.
struct ProtobufReader {
  enum Value {
    case varint(UInt64)
    case fixed32(UInt32)
    case fixed64
    case bytes(ArraySlice<UInt8>)
  }

  struct Malformed: Error { let reason: String }

  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next field, or nil at the end of the message.
  mutating func next() throws(Malformed) -> (field: UInt64, value: Value)? {
    guard !rest.isEmpty else { return nil }
    let key = try varint()
    guard key >> 3 > 0 else { throw Malformed(reason: "a field has the number 0") }
    switch key & 7 {
    case 0: return (key >> 3, .varint(try varint()))
    case 1:
      _ = try take(8)
      return (key >> 3, .fixed64)
    case 2:
      let length = try varint()
      guard length <= UInt64(rest.count) else {
        throw Malformed(reason: "a field of \(length) bytes, where \(rest.count) are left")
      }
      return (key >> 3, .bytes(try take(Int(length))))
    case 5:
      var bits: UInt32 = 0
      for (i, byte) in try take(4).enumerated() { bits |= UInt32(byte) << (8 * UInt32(i)) }
      return (key >> 3, .fixed32(bits))
    default: throw Malformed(reason: "a field of wire type \(key & 7)")
    }
  }

  private mutating func varint() throws(Malformed) -> UInt64 {
    var (value, shift): (UInt64, UInt64) = (0, 0)
    while shift < 64, let byte = rest.popFirst() {
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Malformed(reason: shift < 64 ? "it is cut short in a number" : "a number has more than ten bytes")
  }

  private mutating func take(_ count: Int) throws(Malformed) -> ArraySlice<UInt8> {
    guard count <= rest.count else {
      throw Malformed(reason: "it is cut short: \(count) bytes wanted, \(rest.count) left")
    }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }
}
