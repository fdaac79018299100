import Foundation
import Tensors

/// Several files that hold one model between them, as Hugging Face folders store large ones.
public struct ShardedCheckpoint: Checkpoint {
  public let path: String
  public let files: [String]
  private let home: [String: any Checkpoint]

  public var keys: [String] { home.keys.sorted() }

  private static let indexLimit = 1 << 24
  private static let shardLimit = 1 << 10

  /// - Parameter index: `….index.json`: `{"weight_map": {"tensor": "file", …}}`, files beside it.
  public init(index: String) throws(CheckpointError) {
    let map = try Self.weightMap(index)
    let folder = (index as NSString).deletingLastPathComponent
    var shards: [String: any Checkpoint] = [:]
    for name in try Self.shards(map, index) {
      shards[name] = try openCheckpoint(folder.isEmpty ? name : folder + "/" + name)
    }
    let missing = map.keys.filter { shards[map[$0] ?? ""]?.shape(of: $0) == nil }.sorted()
    guard missing.isEmpty else { throw .wrongTensors(path: index, missing: missing, unexpected: []) }
    home = map.compactMapValues { shards[$0] }
    path = index
    files = [index] + shards.values.map(\.path).sorted()
  }

  /// The files that an index names, sorted; they need not be here yet.
  public static func shards(index: String) throws(CheckpointError) -> [String] { try shards(weightMap(index), index) }

  private static func shards(_ map: [String: String], _ index: String) throws(CheckpointError) -> [String] {
    let names = Set(map.values)
    guard names.count <= shardLimit else { throw .tooMuch(path: index, what: "shards", limit: shardLimit) }
    for name in names where name.isEmpty || name.contains("/") || name == "." || name == ".." {
      throw .malformed(path: index, reason: "it names the file '\(name)', which is not beside it")
    }
    return names.sorted()
  }

  /// Which file each tensor is in.
  private static func weightMap(_ path: String) throws(CheckpointError) -> [String: String] {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= indexLimit else {
      throw .tooMuch(path: path, what: "bytes in its index", limit: indexLimit)
    }
    var map: [String: String]?
    var json = JSONScanner(file.bytes, path: path)
    try json.object { json, key throws(CheckpointError) in
      guard key == "weight_map" else { return try json.skip() }
      guard map == nil else { throw .duplicateName(path: path, name: key) }
      var entries: [String: String] = [:]
      try json.object { json, name throws(CheckpointError) in
        guard entries.count < TensorEntry.tensorLimit else {
          throw .tooMuch(path: path, what: "tensors", limit: TensorEntry.tensorLimit)
        }
        guard entries.updateValue(try json.string(), forKey: name) == nil else {
          throw .duplicateName(path: path, name: name)
        }
      }
      map = entries
    }
    try json.end()
    guard let map else { throw .malformed(path: path, reason: "it has no 'weight_map' of names to files") }
    return map
  }

  public func shape(of key: String) -> [Int]? { home[key]?.shape(of: key) }
  public func type(of key: String) -> ElementType? { home[key]?.type(of: key) }
  public func typeName(of key: String) -> String? { home[key]?.typeName(of: key) }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard let shard = home[key] else { throw .missing(key: key, path: path) }
    return try shard.tensor(key)
  }

  public func matrix(_ key: String, shape: [Int]) throws(CheckpointError) -> WeightMatrix {
    guard let shard = home[key] else { throw .missing(key: key, path: path) }
    return try shard.matrix(key, shape: shape)
  }
}

/// Opens the weights of a Hugging Face folder: one file or shards, safetensors before torch's pickles.
///
/// - Parameter alternatives: other file names to look for, first.
public func openCheckpointFolder(
  _ folder: String, alternatives: [String] = []
) throws(CheckpointError) -> any Checkpoint {
  let names =
    alternatives + [
      "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    ]
  for name in names where FileManager.default.fileExists(atPath: folder + "/" + name) {
    if name.hasSuffix(".index.json") { return try ShardedCheckpoint(index: folder + "/" + name) }
    return try openCheckpoint(folder + "/" + name)
  }
  throw .cannotOpen(path: folder, reason: "it has none of \(names.joined(separator: ", "))")
}
