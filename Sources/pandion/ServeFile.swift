import Foundation
import Yams

/// The file of `pandion serve --config`: YAML with the options of `serve` as keys.
struct ServeFile: Equatable {
  let path: String
  /// In the file's order, each key once.
  let settings: [Setting]

  /// One key with its value, as the words of a command line have it.
  struct Setting: Equatable {
    var key: Key
    var line: Int
    /// One, but for lists; none for a flag that is false.
    var values: [String]
  }

  /// - Throws: `ServeFileError`, which tells the line and the key.
  init(path: String) throws(ServeFileError) {
    guard let data = FileManager.default.contents(atPath: path) else { throw .unreadable(path) }
    guard data.count <= Self.byteLimit, let text = String(data: data, encoding: .utf8) else { throw .noText(path) }
    try self.init(text, path: path)
  }

  init(_ text: String, path: String) throws(ServeFileError) {
    self.path = path
    settings = try Self.read(text, path)
  }

  /// What is read of a file, in bytes.
  static let byteLimit = 1 << 16
  /// How many lists and mappings it may open; it needs two.
  private static let openLimit = 256

  private static func read(_ text: String, _ path: String) throws(ServeFileError) -> [Setting] {
    // The library goes as deep as the file does.
    guard text.utf8.count(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }) <= openLimit else {
      throw .noText(path)
    }
    let root: Node?
    do {
      root = try compose(yaml: text)
    } catch let error as YamlError {
      throw ServeFileError(error, path)
    } catch {
      throw .syntax(path, line: 1, "\(error)")
    }
    guard let root, root.null == nil else { return [] }
    guard case .mapping(let mapping) = root else {
      throw .syntax(path, line: root.mark?.line ?? 1, "the file is to have lines such as 'queue: 64'")
    }
    var settings: [Setting] = []
    for (name, value) in mapping {
      let line = name.mark?.line ?? 1
      guard let key = name.string.flatMap({ Key($0) }) else {
        throw .unknownKey(path, line: line, name.string ?? "a key that is no name")
      }
      guard let values = key.kind.words(value) else {
        throw .wrongValue(path, line: value.mark?.line ?? line, key.name, expected: key.kind.expected)
      }
      settings.append(Setting(key: key, line: line, values: values))
    }
    return settings
  }

  /// The words of a command line that say the same.
  ///
  /// - Parameter given: words that go before: what they set is left out.
  func arguments(before given: [String]) -> [String] {
    let options = Set(given.filter { $0.hasPrefix("--") }.map { String($0.prefix { $0 != "=" }) })
    return settings.filter { !options.contains($0.key.option) }.flatMap { setting in
      setting.values.map { setting.key.kind == .flag ? setting.key.option : "\(setting.key.option)=\($0)" }
    }
  }

  /// The keys whose values differ.
  func changes(from other: ServeFile) -> [Key] {
    func values(_ file: ServeFile, _ key: Key) -> [String]? { file.settings.first { $0.key == key }?.values }
    return Key.all.filter { values(self, $0) != values(other, $0) }
  }
}

/// What is wrong with a configuration file, and where.
enum ServeFileError: Error, Equatable {
  case unreadable(String)
  case noText(String)
  case syntax(String, line: Int, String)
  case unknownKey(String, line: Int, String)
  case wrongValue(String, line: Int, String, expected: String)
}

extension ServeFileError: CustomStringConvertible {
  var description: String {
    switch self {
    case .unreadable(let path): "cannot read \(path)"
    case .noText(let path): "\(path) is no configuration: it is to be YAML of at most \(ServeFile.byteLimit) bytes"
    case .syntax(let path, let line, let problem): "\(path):\(line): \(problem)"
    case .unknownKey(let path, let line, let key):
      "\(path):\(line): there is no key '\(key)'; there are \(ServeFile.Key.all.map(\.name).joined(separator: ", "))"
    case .wrongValue(let path, let line, let key, let expected): "\(path):\(line): \(key) is to be \(expected)"
    }
  }

  fileprivate init(_ error: YamlError, _ path: String) {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      self = .syntax(path, line: mark.line, problem)
    case .duplicatedKeysInMapping(let keys, let context):
      self = .syntax(path, line: context.mark.line, "\(keys.joined(separator: ", ")) comes twice")
    case .reader(let problem, _, _, _): self = .syntax(path, line: 1, problem)
    default: self = .noText(path)
    }
  }
}
