import Tensors

/// The safetensors format: 8 bytes little-endian length, a JSON header of that length, then the data.
///
/// Header: `{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …, "__metadata__": {…}}`,
/// offsets counted from the end of the header. Source: the format section of the safetensors README.
public struct SafetensorsFile: Checkpoint {
  private let file: MappedFile
  private let entries: [String: TensorEntry]

  public var path: String { file.path }
  public var keys: [String] { entries.keys.sorted() }

  /// The largest header of the reference implementation, and the largest that is read here: some 100,000 tensors.
  private static let referenceHeaderLimit = 100_000_000
  private static let headerLimit = 1 << 24

  static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 9 else { return false }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    return length > 1 && length <= UInt64(referenceHeaderLimit) && bytes[8] == UInt8(ascii: "{")
  }

  public init(path: String) throws(CheckpointError) { try self.init(MappedFile(path: path)) }

  init(_ file: MappedFile) throws(CheckpointError) {
    let (path, bytes) = (file.path, file.bytes)
    guard Self.recognises(bytes) else {
      throw .unrecognised(path: path, reason: "it does not begin with a safetensors header")
    }
    let headerLength = Int(UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)))
    guard bytes.count - 8 >= headerLength else {
      throw .truncated(path: path, expected: headerLength + 8, actual: bytes.count)
    }
    guard headerLength <= Self.headerLimit else {
      throw .tooMuch(path: path, what: "bytes in its header", limit: Self.headerLimit)
    }
    let dataStart = 8 + headerLength
    var entries: [String: TensorEntry] = [:]
    var json = JSONScanner(UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart]), path: path)
    try json.object { json, name throws(CheckpointError) in
      if name == "__metadata__" { return try json.skip() }
      guard entries.count < TensorEntry.tensorLimit else {
        throw .tooMuch(path: path, what: "tensors", limit: TensorEntry.tensorLimit)
      }
      let entry = try Self.entry(name, &json, dataStart: dataStart, path: path)
      guard entries.updateValue(entry, forKey: name) == nil else { throw .duplicateName(path: path, name: name) }
    }
    try json.end()
    try Self.checkLayout(entries, dataStart: dataStart, file: file)
    self.file = file
    self.entries = entries
  }

  /// As the format wants it, tensors fill the data: none lies in another, and there are no holes.
  private static func checkLayout(
    _ entries: [String: TensorEntry], dataStart: Int, file: MappedFile
  ) throws(CheckpointError) {
    let (path, size) = (file.path, file.bytes.count)
    let order = entries.sorted {
      ($0.value.offset, $0.value.byteCount, $0.key) < ($1.value.offset, $1.value.byteCount, $1.key)
    }
    var end = dataStart
    var last = "its header"
    for (name, entry) in order {
      guard entry.offset >= end else { throw .overlapping(path: path, first: last, second: name) }
      guard entry.offset == end else {
        throw .malformed(path: path, reason: "no tensor has the \(entry.offset - end) bytes before '\(name)'")
      }
      (end, last) = (entry.offset + entry.byteCount, name)
    }
    guard end <= size else { throw .truncated(path: path, expected: end, actual: size) }
    guard end == size else { throw .malformed(path: path, reason: "no tensor has its last \(size - end) bytes") }
  }

  private static func entry(
    _ name: String, _ json: inout JSONScanner, dataStart: Int, path: String
  ) throws(CheckpointError) -> TensorEntry {
    var typeName: String?
    var shape: [Int]?
    var offsets: [Int]?
    try json.object { json, field throws(CheckpointError) in
      let isFirst: Bool
      switch field {
      case "dtype":
        isFirst = typeName == nil
        typeName = try json.string()
      case "shape":
        isFirst = shape == nil
        shape = try json.integers(atMost: TensorEntry.axisLimit, what: "axes of '\(name)'")
      case "data_offsets":
        isFirst = offsets == nil
        offsets = try json.integers(atMost: 2, what: "data_offsets of '\(name)'")
      default:
        isFirst = true
        try json.skip()
      }
      guard isFirst else { throw .duplicateName(path: path, name: "\(name).\(field)") }
    }
    guard let typeName, let shape, let offsets, offsets.count == 2 else {
      throw .malformed(path: path, reason: "tensor '\(name)' needs dtype, shape and two data_offsets")
    }
    guard let type = ElementType(rawValue: typeName), type.blockLength == 1 else {
      throw .unsupportedType(path: path, tensor: name, type: typeName)
    }
    guard let count = TensorEntry.count(of: shape) else {
      throw .impossibleShape(path: path, tensor: name, shape: shape)
    }
    let (begin, end, needed) = (offsets[0], offsets[1], count * type.size)
    guard begin >= 0, end >= begin, end < 1 << 56, end - begin == needed else {
      throw .impossibleOffsets(path: path, tensor: name, begin: begin, end: end, needed: needed)
    }
    return TensorEntry(type: type, shape: shape, offset: dataStart + begin)
  }

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
}
