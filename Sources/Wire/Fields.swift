/// Reads the fields of one object; every error says which field it is, what it is, and what would be right.
///
/// A field that is null counts as one that is not there, since clients write optional values so.
struct Fields {
  let object: JSONObject
  /// Where the object lies in the header: empty for the header itself.
  let path: String

  init(_ value: JSONValue, path: String) throws(WireError) {
    guard case .object(let object) = value else { throw Self.wrongKind(path, value, "an object") }
    (self.object, self.path) = (object, path)
  }

  func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  subscript(key: String) -> JSONValue? {
    guard let value = object[key], value != .null else { return nil }
    return value
  }

  func required(_ key: String, _ what: String) throws(WireError) -> JSONValue {
    guard let value = self[key] else { throw .bad("\(name(key)) is missing: it is \(what)") }
    return value
  }

  func text(_ key: String, limit: Int) throws(WireError) -> String? {
    guard let value = self[key] else { return nil }
    return try Self.text(value, name(key), limit: limit)
  }

  func flag(_ key: String) throws(WireError) -> Bool? {
    guard let value = self[key] else { return nil }
    guard let flag = value.bool else { throw Self.wrongKind(name(key), value, "true or false") }
    return flag
  }

  func integer(_ key: String, in range: ClosedRange<Int>) throws(WireError) -> Int? {
    guard let value = self[key] else { return nil }
    return try Self.integer(value, name(key), in: range)
  }

  func number(_ key: String, in range: ClosedRange<Double>) throws(WireError) -> Double? {
    guard let value = self[key] else { return nil }
    let number = try Self.number(value, name(key))
    guard range.contains(number) else {
      throw .bad("\(name(key)) is \(number); it lies in \(range.lowerBound)…\(range.upperBound)")
    }
    return number
  }

  func list(_ key: String, limit: Int) throws(WireError) -> [JSONValue]? {
    guard let value = self[key] else { return nil }
    return try Self.list(value, name(key), limit: limit)
  }

  func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) throws(WireError) -> Choice? {
    guard let value = self[key] else { return nil }
    let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    guard let text = value.string else { throw Self.wrongKind(name(key), value, "one of \(names)") }
    guard let choice = Choice(rawValue: text) else {
      throw .bad("\(name(key)) is '\(text.prefix(64))'; it is one of \(names)")
    }
    return choice
  }

  static func text(_ value: JSONValue, _ name: String, limit: Int) throws(WireError) -> String {
    guard let text = value.string else { throw wrongKind(name, value, "a string") }
    guard text.utf8.count <= limit else {
      throw WireError(.tooLarge, "\(name) has \(text.utf8.count) bytes; at most \(limit) are read")
    }
    return text
  }

  static func integer(_ value: JSONValue, _ name: String, in range: ClosedRange<Int>) throws(WireError) -> Int {
    var integer = value.integer
    // Some clients write every number with a point.
    if integer == nil, case .number(let number) = value { integer = Int(exactly: number) }
    guard let integer else { throw wrongKind(name, value, "an integer") }
    guard range.contains(integer) else {
      let bounds =
        range.upperBound == .max ? "is at least \(range.lowerBound)" : "lies in \(range.lowerBound)…\(range.upperBound)"
      throw .bad("\(name) is \(integer); it \(bounds)")
    }
    return integer
  }

  static func number(_ value: JSONValue, _ name: String) throws(WireError) -> Double {
    guard let number = value.double else { throw wrongKind(name, value, "a number") }
    guard number.isFinite else { throw notFinite(name, number) }
    return number
  }

  static func list(_ value: JSONValue, _ name: String, limit: Int) throws(WireError) -> [JSONValue] {
    guard let list = value.array else { throw wrongKind(name, value, "a list") }
    guard list.count <= limit else {
      throw WireError(.tooLarge, "\(name) has \(list.count) entries; at most \(limit) are read")
    }
    return list
  }

  static func wrongKind(_ name: String, _ value: JSONValue, _ expected: String) -> WireError {
    .bad("\(name.isEmpty ? "the header" : name) is \(value.kind); it is to be \(expected)")
  }

  static func notFinite(_ name: String, _ number: Double) -> WireError {
    let value = number.isNaN ? "NaN" : number > 0 ? "infinite" : "minus infinite"
    return .bad("\(name) is \(value); it is to be a finite number")
  }
}
