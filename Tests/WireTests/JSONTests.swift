import Testing

@testable import Wire

@Suite struct JSONTests {
  private func parse(_ text: String, _ limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
    try JSONValue(parsing: Array(text.utf8), limits: limits)
  }

  @Test func readsEveryKindOfValue() throws {
    let value = try parse(#" {"a":[1,-2.5,1e3,0,true,false,null],"b":{"ü":"\u00fc\n\"\ud83d\ude00"},"c":{},"d":[]} "#)
    #expect(
      value["a"]?.array == [.integer(1), .number(-2.5), .number(1000), .integer(0), .bool(true), .bool(false), .null])
    #expect(value["b"]?["ü"] == .string("ü\n\"😀"))
    #expect(value["c"] == .object(JSONObject()))
    #expect(value["d"] == .array([]))
    #expect(try parse("123456789012345678901234567890") == .number(1.2345678901234568e29))
  }

  @Test(arguments: [
    ("", "a value", 0), ("{", "a key in quotes", 1), ("[1,]", "a value", 3), ("[1 2]", "',' or ']'", 3),
    ("{\"a\" 1}", "':'", 5), ("{\"a\":1,}", "a key in quotes", 7), ("01", "the end", 1), ("1.", "a digit", 2),
    ("-", "a digit", 1), ("tru", "a value", 0), ("\"abc", "'\"'", 4), ("\"\\x\"", "an escape of JSON", 2),
    ("\"\\ud800\"", "the second half of a surrogate pair", 7), ("\"\\udc00\"", "a Unicode scalar", 7),
    ("\"\u{1}\"", "an escape instead of a control character", 1), ("{} {}", "the end", 3), ("+1", "a value", 0),
    ("\"\\u12g4\"", "four hexadecimal digits", 5), ("{'a':1}", "a key in quotes", 1),
  ])
  func saysWhatIsWrongAndWhere(text: String, expected: String, offset: Int) {
    #expect(throws: JSONError.malformed(expected: expected, offset: offset)) { try parse(text) }
  }

  @Test func refusesWhatIsNotUTF8() {
    #expect(throws: JSONError.malformed(expected: "text in UTF-8", offset: 1)) {
      try JSONValue(parsing: [0x22, 0xFF, 0xFE, 0x22])
    }
    #expect(throws: JSONError.malformed(expected: "a value", offset: 0)) { try JSONValue(parsing: [0xFF, 0xD8]) }
  }

  @Test func refusesDepthSizeAndDuplicates() {
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: JSONError.tooDeep(limit: 32, offset: 32)) { try parse(deep) }
    #expect(throws: JSONError.tooLarge(bytes: 7, limit: 6)) { try parse("1234567", JSONLimits(bytes: 6)) }
    #expect(throws: JSONError.duplicateKey("a", offset: 7)) { try parse(#"{"a":1,"a":2}"#) }
  }

  @Test func findsWhatIsNotFinite() throws {
    let value = try parse(#"{"v":1,"prompts":[{"points":[[1,2],[3,NaN]]}],"z":1e999}"#)
    #expect(value.firstNotFinite()?.path == "prompts[0].points[1][1]")
    #expect(try parse("[1,-Infinity]").firstNotFinite()?.path == "[1]")
    #expect(try parse("[1e999]").firstNotFinite()?.value == .infinity)
    #expect(try parse("[1,2.5,\"NaN\"]").firstNotFinite() == nil)
  }

  @Test func writesWhatItReads() throws {
    let text = #"{"b":[1,2.5,-3],"a":{"x":"q\"\\\n\u0001ü","y":null},"c":[],"d":{},"e":[[1],[true]]}"#
    let value = try parse(text)
    #expect(String(decoding: value.serialized(), as: UTF8.self) == text)
    #expect(try JSONValue(parsing: value.serialized(pretty: true)) == value)
    #expect(JSONValue(Float(0.1)).serialized() == Array("0.1".utf8))
    #expect(JSONValue(Float(1e-9)).serialized() == Array("1e-09".utf8))
    #expect(JSONValue.number(.nan).serialized() == Array("null".utf8))
  }
}
