import Tensors

/// The GGUF format, versions 2 and 3, little-endian: `GGUF`, version, counts, metadata, tensors' names, shapes, types and
/// offsets, then their data from the next multiple of the alignment on. Source: ggml's docs/gguf.md.
///
/// Shapes are row-major here, the other way round than in the file. Metadata stays in the mapped file until it is asked for.
public struct GGUFFile: Checkpoint {
  private let file: MappedFile
  /// What of the mapped file is this GGUF: one may lie behind another.
  private let range: Range<Int>
  private let values: [String: (type: GGUFType, count: Int?, range: Range<Int>)]
  private let tensors: [String: Stored]
  /// The metadata's keys, in the file's order.
  public let metadataKeys: [String]
  /// The tensors' names, in the file's order.
  public let keys: [String]
  /// Of every tensor's place, in bytes.
  let alignment: Int
  /// Where the last tensor ends, in bytes.
  let end: Int

  public var path: String { file.path }

  /// A tensor of the file's table.
  private struct Stored {
    let type: GGMLType
    let shape: [Int]
    /// In bytes from the start of the mapped file.
    let offset: Int

    var byteCount: Int { type.byteCount(of: shape.reduce(1, *)) }
  }

  private static let magic = Array("GGUF".utf8)
  private static let entryLimit = 1 << 16
  private static let keyLimit = (1 << 16) - 1
  /// The longest arrays in use are vocabularies' merges, some 300,000.
  private static let arrayLimit = 1 << 24
  private static let nameLimit = 255
  private static let axisLimit = 4

  static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.prefix(4).elementsEqual(magic) }

  public init(path: String) throws(CheckpointError) { try self.init(MappedFile(path: path)) }

  /// - Parameter range: where in the file it lies, if it is not the whole of it.
  init(_ file: MappedFile, range: Range<Int>? = nil) throws(CheckpointError) {
    let path = file.path
    let range = range ?? 0..<file.bytes.count
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    guard Self.recognises(bytes) else {
      throw .unrecognised(path: path, reason: "no GGUF begins at byte \(range.lowerBound)")
    }
    var cursor = GGUFCursor(bytes, from: 4, path: path)
    let version = try cursor.integer(UInt32.self)
    guard version & 0xffff != 0 else { throw .malformed(path: path, reason: "it was written on a big-endian machine") }
    guard version == 2 || version == 3 else {
      throw .malformed(path: path, reason: "it is GGUF of version \(version), not 2 or 3")
    }
    let (tensorCount, entryCount) = (try cursor.count(), try cursor.count())
    guard tensorCount <= TensorEntry.tensorLimit else {
      throw .tooMuch(path: path, what: "tensors", limit: TensorEntry.tensorLimit)
    }
    guard entryCount <= Self.entryLimit else {
      throw .tooMuch(path: path, what: "entries of metadata", limit: Self.entryLimit)
    }

    var values: [String: (type: GGUFType, count: Int?, range: Range<Int>)] = [:]
    var order: [String] = []
    for _ in 0..<entryCount {
      let key = try cursor.name("a key", atMost: Self.keyLimit)
      guard values.updateValue(try Self.entry(key, &cursor), forKey: key) == nil else {
        throw .duplicateName(path: path, name: key)
      }
      order.append(key)
    }
    alignment = try Self.alignment(values["general.alignment"], bytes, path: path)

    var table: [(name: String, tensor: Stored)] = []
    var names: Set<String> = []
    for _ in 0..<tensorCount {
      let name = try cursor.name("a tensor's name", atMost: Self.nameLimit)
      guard names.insert(name).inserted else { throw .duplicateName(path: path, name: name) }
      table.append((name, try Self.tensor(name, &cursor, alignment: alignment)))
    }
    let dataStart = (cursor.position + alignment - 1) / alignment * alignment
    end = try Self.checkLayout(table, dataStart: dataStart, size: bytes.count, path: path)
    tensors = Dictionary(
      uniqueKeysWithValues: table.map { name, tensor in
        (name, Stored(type: tensor.type, shape: tensor.shape, offset: range.lowerBound + dataStart + tensor.offset))
      })
    (self.file, self.range, self.values, metadataKeys, keys) = (file, range, values, order, table.map(\.name))
  }

  private static func entry(
    _ key: String, _ cursor: inout GGUFCursor
  ) throws(CheckpointError) -> (type: GGUFType, count: Int?, range: Range<Int>) {
    func type(_ what: String) throws(CheckpointError) -> GGUFType {
      let code = try cursor.integer(UInt32.self)
      guard let type = GGUFType(rawValue: code) else {
        throw .wrongValue(path: cursor.path, key: key, expected: "\(what) 0…12", found: "\(code)")
      }
      return type
    }
    let outer = try type("a value of a type")
    guard outer == .array else { return (outer, nil, try cursor.value(of: key, outer, count: 1)) }
    let inner = try type("an array of a type")
    guard inner != .array else {
      throw .wrongValue(path: cursor.path, key: key, expected: "an array of single values", found: "an array of arrays")
    }
    let count = try cursor.count()
    guard count <= arrayLimit else {
      throw .tooMuch(path: cursor.path, what: "values of '\(key)'", limit: arrayLimit)
    }
    return (inner, count, try cursor.value(of: key, inner, count: count))
  }

  private static func alignment(
    _ entry: (type: GGUFType, count: Int?, range: Range<Int>)?, _ bytes: UnsafeRawBufferPointer, path: String
  ) throws(CheckpointError) -> Int {
    let key = "general.alignment"
    guard let entry else { return 32 }
    guard entry.type == .uint32, entry.count == nil else {
      throw .wrongValue(path: path, key: key, expected: "a uint32", found: describe(entry.type, entry.count))
    }
    let value = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: entry.range.lowerBound, as: UInt32.self))
    guard value.nonzeroBitCount == 1, value <= 1 << 16 else {
      throw .wrongValue(path: path, key: key, expected: "a power of two up to 65536", found: "\(value)")
    }
    return Int(value)
  }

  /// A line of the table of tensors; the offset is counted from where the data begins.
  private static func tensor(
    _ name: String, _ cursor: inout GGUFCursor, alignment: Int
  ) throws(CheckpointError) -> Stored {
    let path = cursor.path
    let axes = Int(try cursor.integer(UInt32.self))
    guard axes <= axisLimit else { throw .tooMuch(path: path, what: "axes of '\(name)'", limit: axisLimit) }
    var shape: [Int] = []
    for _ in 0..<axes { shape.insert(try cursor.count(), at: 0) }
    guard TensorEntry.count(of: shape) != nil else {
      throw .impossibleShape(path: path, tensor: name, shape: shape)
    }
    let code = try cursor.integer(UInt32.self)
    guard let type = GGMLType.all[code] else {
      throw .unsupportedType(path: path, tensor: name, type: "number \(code) of ggml")
    }
    let columns = shape.last ?? 1
    guard columns % type.blockLength == 0 else {
      throw .brokenBlocks(path: path, tensor: name, type: type.name, columns: columns, block: type.blockLength)
    }
    let offset = try cursor.count()
    guard offset % alignment == 0 else {
      throw .misaligned(path: path, tensor: name, offset: offset, alignment: alignment)
    }
    return Stored(type: type, shape: shape, offset: offset)
  }

  /// No tensor reaches beyond the file or into another.
  ///
  /// - Returns: where the last one ends.
  private static func checkLayout(
    _ table: [(name: String, tensor: Stored)], dataStart: Int, size: Int, path: String
  ) throws(CheckpointError) -> Int {
    for (name, tensor) in table {
      // A shape that passed takes fewer than 2⁵¹ bytes.
      let begin = min(tensor.offset, 1 << 60) + dataStart
      guard begin <= size, tensor.byteCount <= size - begin else {
        throw .outside(path: path, tensor: name, begin: begin, end: begin + tensor.byteCount, size: size)
      }
    }
    var (end, last) = (0, "")
    for (name, tensor) in table.sorted(by: { ($0.tensor.offset, $0.name) < ($1.tensor.offset, $1.name) })
    where tensor.byteCount > 0 {
      guard tensor.offset >= end else { throw .overlapping(path: path, first: last, second: name) }
      (end, last) = (tensor.offset + tensor.byteCount, name)
    }
    return dataStart + end
  }

  public func shape(of key: String) -> [Int]? { tensors[key]?.shape }
  public func type(of key: String) -> ElementType? { tensors[key]?.type.elementType }
  public func typeName(of key: String) -> String? { tensors[key]?.type.name }

  private func entry(_ key: String) throws(CheckpointError) -> TensorEntry {
    guard let tensor = tensors[key] else { throw .missing(key: key, path: path) }
    guard let type = tensor.type.elementType else {
      throw .unsupportedType(path: path, tensor: key, type: tensor.type.name)
    }
    return TensorEntry(type: type, shape: tensor.shape, offset: tensor.offset)
  }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor { makeTensor(try entry(key), in: file) }

  public func matrix(_ key: String, shape expected: [Int]) throws(CheckpointError) -> WeightMatrix {
    try makeMatrix(key, try entry(key), shape: expected, in: file)
  }

  /// Reads a tensor's bytes in place.
  func withBytes<R>(of key: String, _ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> R)
    throws(CheckpointError) -> R
  {
    guard let tensor = tensors[key] else { throw .missing(key: key, path: path) }
    defer { withExtendedLifetime(file) {} }
    let range = tensor.offset..<tensor.offset + tensor.byteCount
    return try body(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
  }

  /// A value of the metadata; nil if there is none of that name.
  public func value(_ key: String) -> GGUFValue? {
    guard let entry = values[key] else { return nil }
    defer { withExtendedLifetime(file) {} }
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    return GGUFValue(type: entry.type, count: entry.count, payload: Array(bytes[entry.range]))
  }

  /// The GGUF that lies behind this one's tensors; the keys `name.offset` and `name.length` tell where, in bytes from the
  /// start of the file. Nil if there are no such keys.
  public func companion(_ name: String) throws(CheckpointError) -> GGUFFile? {
    guard let offset = try integer("\(name).offset", in: 0...1 << 60) else { return nil }
    guard let length = try integer("\(name).length", in: 0...1 << 60) else {
      throw .wrongValue(path: path, key: "\(name).length", expected: "a whole number", found: "nothing")
    }
    guard offset + length <= range.count else {
      throw .outside(path: path, tensor: name, begin: offset, end: offset + length, size: range.count)
    }
    guard offset >= end else { throw .overlapping(path: path, first: "its tensors", second: name) }
    return try GGUFFile(file, range: offset..<offset + length)
  }

  static func describe(_ type: GGUFType, _ count: Int?) -> String {
    count.map { "an array of \($0) \(type)" } ?? "a \(type)"
  }
}
