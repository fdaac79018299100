/// A JSON document as a value. Objects keep the order of their keys, so that writing one is deterministic.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number written without fraction and exponent that fits.
  case integer(Int)
  /// Any other number. NaN and infinities can be read, so that the refusal can name their place, but not written.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// A float32 with the fewest digits that give it back.
  public init(_ value: Float) { self = Double(value.description).map { .number($0) } ?? .null }

  /// An object of the entries, without those that are nil.
  public init(entries: [(String, JSONValue?)]) {
    self = .object(JSONObject(entries.compactMap { key, value in value.map { (key, $0) } }))
  }

  /// An object with further entries behind its own; anything else as it is.
  public func appending(_ entries: [(String, JSONValue?)]) -> JSONValue {
    guard case .object(let object) = self else { return self }
    return JSONValue(entries: object.entries.map { ($0.key, $0.value) } + entries)
  }

  /// The value of a key, if this is an object that has it.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let object) = self else { return nil }
    return object[key]
  }

  /// The element at an index, if this is an array that has it.
  public subscript(index: Int) -> JSONValue? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  /// The value as a number, be it written as an integer or not.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// What kind of value it is, for messages.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// The first number in the document that is NaN or infinite: where, and which.
  public func firstNotFinite(path: String = "") -> (path: String, value: Double)? {
    switch self {
    case .number(let value): return value.isFinite ? nil : (path, value)
    case .array(let elements):
      for (index, element) in elements.enumerated() {
        // The path is only put together where there is something to look into.
        guard element.mayHoldNumbers else { continue }
        if let found = element.firstNotFinite(path: "\(path)[\(index)]") { return found }
      }
    case .object(let object):
      for (key, value) in object.entries where value.mayHoldNumbers {
        if let found = value.firstNotFinite(path: path.isEmpty ? key : "\(path).\(key)") { return found }
      }
    default: break
    }
    return nil
  }

  private var mayHoldNumbers: Bool {
    switch self {
    case .number, .array, .object: true
    default: false
    }
  }
}

/// Keys and values in their order, each key once.
public struct JSONObject: Sendable, Equatable {
  public private(set) var entries: [(key: String, value: JSONValue)]

  /// - Parameter entries: no key twice.
  public init(_ entries: [(String, JSONValue)] = []) { self.entries = entries.map { (key: $0, value: $1) } }

  public subscript(key: String) -> JSONValue? { entries.first { $0.key == key }?.value }

  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.entries.elementsEqual(b.entries) { $0.key == $1.key && $0.value == $1.value }
  }
}
