extension JSONValue {
  /// The document as UTF-8. The same value always gives the same bytes.
  ///
  /// - Parameter pretty: over several lines; lists of numbers stay on one.
  public func serialized(pretty: Bool = false) -> [UInt8] {
    var output: [UInt8] = []
    write(to: &output, indent: pretty ? 0 : nil)
    return output
  }

  /// The document as text, over several lines.
  public var text: String { String(decoding: serialized(pretty: true), as: UTF8.self) }

  private func write(to output: inout [UInt8], indent: Int?) {
    switch self {
    case .null: output += "null".utf8
    case .bool(let value): output += (value ? "true" : "false").utf8
    case .integer(let value): output += value.description.utf8
    // JSON has no word for what is not finite.
    case .number(let value): output += (value.isFinite ? value.description : "null").utf8
    case .string(let value): Self.write(value, to: &output)
    case .array(let elements):
      let isFlat = elements.allSatisfy { $0.double != nil }
      Self.writeList(elements.count, "[", "]", to: &output, indent: isFlat ? nil : indent) { index, output, indent in
        if isFlat && index > 0 && indent != nil { output.append(0x20) }
        elements[index].write(to: &output, indent: indent)
      }
    case .object(let object):
      let entries = object.entries
      Self.writeList(entries.count, "{", "}", to: &output, indent: indent) { index, output, indent in
        Self.write(entries[index].key, to: &output)
        output += (indent == nil ? ":" : ": ").utf8
        entries[index].value.write(to: &output, indent: indent)
      }
    }
  }

  private static func writeList(
    _ count: Int, _ open: Unicode.Scalar, _ close: Unicode.Scalar, to output: inout [UInt8], indent: Int?,
    _ element: (Int, inout [UInt8], Int?) -> Void
  ) {
    output.append(UInt8(ascii: open))
    for index in 0..<count {
      if index > 0 { output.append(UInt8(ascii: ",")) }
      if let indent { newline(indent + 2, &output) }
      element(index, &output, indent.map { $0 + 2 })
    }
    if let indent, count > 0 { newline(indent, &output) }
    output.append(UInt8(ascii: close))
  }

  private static func newline(_ indent: Int, _ output: inout [UInt8]) {
    output.append(0x0A)
    output += repeatElement(0x20, count: indent)
  }

  private static func write(_ string: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): output += "\\\"".utf8
      case UInt8(ascii: "\\"): output += "\\\\".utf8
      case 0x0A: output += "\\n".utf8
      case 0x0D: output += "\\r".utf8
      case 0x09: output += "\\t".utf8
      case 0..<0x20:
        let hexadecimal = String(byte, radix: 16)
        output += ("\\u" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal).utf8
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}
