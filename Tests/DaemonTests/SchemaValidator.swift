import Foundation
import Wire

/// JSON Schema 2020-12, as much of it as `Docs/schemas` uses; any other keyword is a mistake, or it would not be checked.
struct SchemaValidator {
  private let documents: [String: JSONValue]

  /// Every schema of a folder.
  init(folder: URL) throws {
    var documents: [String: JSONValue] = [:]
    for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    where file.pathExtension == "json" {
      documents[file.lastPathComponent] = try JSONValue(parsing: [UInt8](Data(contentsOf: file)))
    }
    self.documents = documents
  }

  var names: [String] { documents.keys.sorted() }
  func document(_ name: String) -> JSONValue? { documents[name] }

  /// What is wrong with a value; empty if nothing is.
  func faults(_ value: JSONValue, _ name: String) throws -> [String] {
    guard let schema = documents[name] else { throw Fault("there is no schema \(name)") }
    return try faults(value, schema, name, "")
  }

  struct Fault: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }

  private static let annotations: Set = ["$schema", "$id", "$defs", "title", "description"]

  private func faults(_ value: JSONValue, _ schema: JSONValue, _ document: String, _ path: String) throws -> [String] {
    guard case .object(let keywords) = schema else { throw Fault("\(document): a schema is \(schema.kind)") }
    var faults: [String] = []
    for (keyword, argument) in keywords.entries where !Self.annotations.contains(keyword) {
      faults += try check(keyword, argument, value, keywords, document, path)
    }
    return faults
  }

  private func check(
    _ keyword: String, _ argument: JSONValue, _ value: JSONValue, _ keywords: JSONObject, _ document: String,
    _ path: String
  ) throws -> [String] {
    func fault(_ isWrong: Bool, _ text: @autoclosure () -> String) -> [String] {
      isWrong ? ["\(path.isEmpty ? "the message" : path) \(text())"] : []
    }
    func below(_ schema: JSONValue, _ value: JSONValue, _ step: String = "") throws -> [String] {
      try faults(value, schema, document, path + step)
    }
    func list() throws -> [JSONValue] {
      guard let list = argument.array else { throw Fault("\(document): \(keyword) is \(argument.kind)") }
      return list
    }
    switch keyword {
    case "$ref":
      let (name, schema) = try resolve(argument.string ?? "", document)
      return try faults(value, schema, name, path)
    case "type":
      let types = try argument.string.map { [$0] } ?? list().compactMap(\.string)
      return try fault(!types.contains { try Self.isOf($0, value) }, "is \(value.kind), not \(types)")
    case "const": return fault(!Self.isEqual(value, argument), "is not \(argument)")
    case "enum": return fault(try !list().contains { Self.isEqual($0, value) }, "is none of its values")
    case "minimum": return fault((value.double ?? .infinity) < (argument.double ?? 0), "is too small")
    case "maximum": return fault((value.double ?? -.infinity) > (argument.double ?? 0), "is too large")
    case "minLength":
      return fault((value.string?.unicodeScalars.count ?? .max) < (argument.integer ?? 0), "is too short")
    case "maxLength": return fault((value.string?.unicodeScalars.count ?? 0) > (argument.integer ?? 0), "is too long")
    case "pattern":
      guard let text = value.string else { return [] }
      return fault(try text.firstMatch(of: Regex(argument.string ?? "")) == nil, "does not match its pattern")
    case "minItems": return fault((value.array?.count ?? .max) < (argument.integer ?? 0), "has too few entries")
    case "maxItems": return fault((value.array?.count ?? 0) > (argument.integer ?? 0), "has too many entries")
    case "items": return try (value.array ?? []).enumerated().flatMap { try below(argument, $1, "[\($0)]") }
    case "required":
      guard case .object(let object) = value else { return [] }
      return try list().compactMap(\.string).flatMap { key in fault(object[key] == nil, "has no \(key)") }
    case "properties":
      guard case .object(let object) = value, case .object(let schemas) = argument else { return [] }
      return try schemas.entries.flatMap { key, schema in
        try object[key].map { try below(schema, $0, ".\(key)") } ?? []
      }
    case "additionalProperties":
      guard case .object(let object) = value else { return [] }
      let known = keywords["properties"]
      return try object.entries.filter { known?[$0.key] == nil }.flatMap { key, value in
        argument == .bool(false) ? fault(true, "has the unknown key \(key)") : try below(argument, value, ".\(key)")
      }
    case "allOf": return try list().flatMap { try below($0, value) }
    case "anyOf":
      let all = try list().map { try below($0, value) }
      return fault(!all.contains { $0.isEmpty }, "is none of: \(all.map { $0.first ?? "" })")
    case "oneOf":
      let fitting = try list().count { try below($0, value).isEmpty }
      return fault(fitting != 1, "fits \(fitting) of the choices instead of one")
    case "not": return fault(try below(argument, value).isEmpty, "is what it must not be")
    default: throw Fault("\(document): the keyword \(keyword) is not checked")
    }
  }

  private func resolve(_ reference: String, _ document: String) throws -> (String, JSONValue) {
    let parts = reference.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
    let name = parts[0].isEmpty ? document : parts[0]
    var schema = documents[name]
    for step in (parts.count > 1 ? parts[1] : "").split(separator: "/") { schema = schema?[String(step)] }
    guard let schema else { throw Fault("\(document): \(reference) leads nowhere") }
    return (name, schema)
  }

  private static func isOf(_ type: String, _ value: JSONValue) throws -> Bool {
    switch type {
    case "object": if case .object = value { true } else { false }
    case "array": value.array != nil
    case "string": value.string != nil
    case "boolean": value.bool != nil
    case "number": value.double != nil
    case "integer": value.double.map { $0 == $0.rounded() } ?? false
    case "null": value == .null
    default: throw Fault("there is no type \(type)")
    }
  }

  private static func isEqual(_ a: JSONValue, _ b: JSONValue) -> Bool {
    if let a = a.double, let b = b.double { return a == b }
    return a == b
  }
}
