import Tensors

/// A torch checkpoint: the zip archive of `torch.save` since 1.6, or the older stream of pickles. Mapped, read on demand.
///
/// Dictionaries inside dictionaries become dotted names; the wrappers that trainers put around a state dictionary
/// (`state_dict`, `model`) are taken off.
public struct TorchFile: Checkpoint {
  private let file: MappedFile
  private let entries: [String: TensorEntry]

  public var path: String { file.path }
  public var keys: [String] { entries.keys.sorted() }
  public func shape(of key: String) -> [Int]? { entries[key]?.shape }
  public func type(of key: String) -> ElementType? { entries[key]?.type }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard let entry = entries[key] else { throw .missing(key: key, path: path) }
    return makeTensor(entry, in: file)
  }

  public func matrix(_ key: String, shape expected: [Int]) throws(CheckpointError) -> WeightMatrix {
    guard let entry = entries[key] else { throw .missing(key: key, path: path) }
    return try makeMatrix(key, entry, shape: expected, in: file)
  }

  /// `NAME/data.pkl` describes the tensors, `NAME/data/KEY` holds each storage.
  init(zip file: MappedFile) throws(CheckpointError) {
    let path = file.path
    let archive = try ZipArchive(file)
    let pickles = archive.entries.filter { $0.key.hasSuffix("/data.pkl") || $0.key == "data.pkl" }
    guard let pickle = pickles.first else {
      throw .unrecognised(path: path, reason: "it is a zip archive without data.pkl")
    }
    guard pickles.count == 1 else { throw .duplicateName(path: path, name: "data.pkl") }
    let folder = pickle.key.dropLast("data.pkl".count)
    if let order = archive.entries["\(folder)byteorder"], !file.bytes[order].elementsEqual("little".utf8) {
      throw .malformed(path: path, reason: "it was written on a big-endian machine")
    }
    var unpickler = Unpickler(file, range: pickle.value)
    let object = try unpickler.load()
    self.file = file
    entries = try StateDictionary(object, path: path).entries { storage throws(CheckpointError) in
      guard let range = archive.entries["\(folder)data/\(storage.key)"] else {
        throw .malformed(path: path, reason: "its archive has no data/\(storage.key)")
      }
      return range
    }
  }

  private static let magic: [UInt8] = [
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
  ]

  static func recognisesLegacy(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count > magic.count && bytes.prefix(magic.count).elementsEqual(magic)
  }

  /// Before torch 1.6: the pickles of a magic number, a version, the system, the object and the storages' keys; then each
  /// storage as a 64-bit count and its numbers.
  init(legacy file: MappedFile) throws(CheckpointError) {
    let (path, size) = (file.path, file.bytes.count)
    var unpickler = Unpickler(file, range: 0..<size)
    for _ in 0..<3 { _ = try unpickler.load() }
    let dictionary = StateDictionary(try unpickler.load(), path: path)
    let last = try unpickler.load()
    guard case .list(let keys) = last.root else { throw .malformed(path: path, reason: "it has no list of storages") }
    var position = unpickler.consumed
    let types = try dictionary.storageTypes()
    let reader = ByteReader(bytes: file.bytes, path: path)
    var ranges: [String: Range<Int>] = [:]
    for key in keys.items {
      guard case .string(let name) = key, let type = types[name] else {
        throw .malformed(path: path, reason: "its storages are not those of its tensors")
      }
      let count = try reader.int64(position)
      let (length, overflow) = count.multipliedReportingOverflow(by: type.size)
      guard !overflow, length <= size, position + 8 <= size - length else {
        throw .truncated(path: path, expected: position &+ 8 &+ length, actual: size)
      }
      guard ranges.updateValue(position + 8..<position + 8 + length, forKey: name) == nil else {
        throw .duplicateName(path: path, name: name)
      }
      position += 8 + length
    }
    self.file = file
    entries = try dictionary.entries { storage throws(CheckpointError) in
      guard let range = ranges[storage.key] else {
        throw .malformed(path: path, reason: "its storage '\(storage.key)' is missing")
      }
      return range
    }
  }
}
