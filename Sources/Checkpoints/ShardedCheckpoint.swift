import Foundation
import Tensors

/// Several files that hold one model between them, as Hugging Face folders store large ones.
public struct ShardedCheckpoint: Checkpoint {
  public let path: String
  private let home: [String: any Checkpoint]

  public var keys: [String] { home.keys.sorted() }

  private static let indexLimit = 1 << 26
  private static let shardLimit = 1 << 10

  /// - Parameter index: `….index.json`: `{"weight_map": {"tensor": "file", …}}`, files beside it.
  public init(index: String) throws(CheckpointError) {
    let file = try MappedFile(path: index)
    guard file.bytes.count <= Self.indexLimit else { throw .malformed(path: index, reason: "it is larger than 64 MiB") }
    guard let object = try? JSONSerialization.jsonObject(with: Data(file.bytes)) as? [String: Any],
      let map = object["weight_map"] as? [String: String]
    else { throw .malformed(path: index, reason: "it has no 'weight_map' of names to files") }
    let names = Set(map.values)
    guard names.count <= Self.shardLimit else { throw .malformed(path: index, reason: "it names \(names.count) files") }
    let folder = (index as NSString).deletingLastPathComponent
    var shards: [String: any Checkpoint] = [:]
    for name in names.sorted() {
      guard !name.isEmpty, !name.contains("/") else {
        throw .malformed(path: index, reason: "it names the file '\(name)', which is not beside it")
      }
      shards[name] = try openCheckpoint(folder.isEmpty ? name : folder + "/" + name)
    }
    var home: [String: any Checkpoint] = [:]
    for (key, name) in map {
      guard let shard = shards[name], shard.shape(of: key) != nil else { throw .missing(key: key, path: name) }
      home[key] = shard
    }
    (self.path, self.home) = (index, home)
  }

  public func shape(of key: String) -> [Int]? { home[key]?.shape(of: key) }
  public func type(of key: String) -> ElementType? { home[key]?.type(of: key) }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard let shard = home[key] else { throw .missing(key: key, path: path) }
    return try shard.tensor(key)
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
