import Tensors

/// Writes a GGUF file of version 3: under a temporary name, tensor by tensor, read back as a whole, then renamed.
///
/// - Parameters:
///   - companion: a second GGUF that lies behind the first one's tensors. The keys `name.offset` and `name.length` of the
///     first tell where. Readers that know nothing of it see a file with some bytes at its end.
///   - path: what lies there is replaced.
///   - progress: called with the bytes that are written, and those that will be.
public func writeGGUF(
  _ content: GGUFContent, companion: (name: String, content: GGUFContent)? = nil, to path: String,
  progress: (Int, Int) -> Void = { _, _ in }
) throws(CheckpointError) {
  var (first, parts) = (content, [GGUFLayout]())
  if let companion {
    let second = try GGUFLayout(companion.content, path: path)
    // The numbers do not change how long the first part is.
    let keys = ["\(companion.name).offset", "\(companion.name).length"]
    let places = try GGUFLayout(first.adding(keys, [0, 0]), path: path)
    first = first.adding(keys, [places.length, second.length])
    parts = [try GGUFLayout(first, path: path), second]
  } else {
    parts = [try GGUFLayout(first, path: path)]
  }
  let total = parts.reduce(0) { $0 + $1.length }
  let file = try OutputFile(path: path)
  var pieces: [WrittenPiece] = []
  for part in parts {
    let start = file.count
    try file.write(part.header)
    for (tensor, offset) in zip(part.content.tensors, part.offsets) {
      let before = file.count
      precondition(before == start + offset)
      try tensor.emit { bytes throws(CheckpointError) in
        pieces.append(WrittenPiece(tensor: tensor.name, offset: file.count, bytes))
        try file.write(bytes)
        // The end comes only when the file has its name.
        progress(min(file.count, total - 1), total)
      }
      precondition(file.count == before + tensor.byteCount, "\(tensor.name) wrote another number of bytes than it has")
      try file.write([UInt8](repeating: 0, count: GGUFLayout.padding(file.count)))
    }
  }
  try file.synchronize()
  try verify(pieces, parts, companion?.name, in: file)
  try file.commit()
  progress(total, total)
}

extension GGUFContent {
  fileprivate func adding(_ keys: [String], _ values: [Int]) -> GGUFContent {
    var result = self
    for (key, value) in zip(keys, values) { result.metadata.append((key, .uint64(UInt64(value)))) }
    return result
  }
}

/// Where everything lies in a file.
private struct GGUFLayout {
  let content: GGUFContent
  /// Everything up to the first tensor.
  let header: [UInt8]
  /// Of each tensor, from the start.
  let offsets: [Int]
  /// With the padding behind the last tensor.
  let length: Int

  static let alignment = 32

  static func padding(_ count: Int) -> Int { (alignment - count % alignment) % alignment }

  init(_ content: GGUFContent, path: String) throws(CheckpointError) {
    var header = Array("GGUF".utf8) + GGUFValue.little(UInt32(3))
    header += GGUFValue.little(UInt64(content.tensors.count)) + GGUFValue.little(UInt64(content.metadata.count))
    for (key, value) in content.metadata { header += GGUFValue.counted(Array(key.utf8)) + value.encoded }
    var (offsets, position): ([Int], Int) = ([], 0)
    for tensor in content.tensors {
      guard let code = GGMLType.code(of: tensor.type), Quantizer.types.contains(tensor.type) else {
        throw .unsupportedType(path: path, tensor: tensor.name, type: tensor.type.rawValue)
      }
      let columns = tensor.shape.last ?? 1
      guard columns % tensor.type.blockLength == 0 else {
        throw .brokenBlocks(
          path: path, tensor: tensor.name, type: tensor.type.rawValue, columns: columns, block: tensor.type.blockLength)
      }
      header += GGUFValue.counted(Array(tensor.name.utf8)) + GGUFValue.little(UInt32(tensor.shape.count))
      header += tensor.shape.reversed().flatMap { GGUFValue.little(UInt64($0)) }
      header += GGUFValue.little(code) + GGUFValue.little(UInt64(position))
      offsets.append(position)
      position += tensor.byteCount + Self.padding(tensor.byteCount)
    }
    header += [UInt8](repeating: 0, count: Self.padding(header.count))
    let start = header.count
    (self.content, self.header) = (content, header)
    (self.offsets, length) = (offsets.map { $0 + start }, start + position)
  }
}

/// Some bytes that were written, to be compared with what the file then has.
private struct WrittenPiece {
  let tensor: String
  let range: Range<Int>
  let sum: UInt64

  init(tensor: String, offset: Int, _ bytes: UnsafeRawBufferPointer) {
    self.tensor = tensor
    range = offset..<offset + bytes.count
    sum = Self.sum(bytes)
  }

  /// A sum in which every word and its place count, as good as a digest against what goes wrong by itself.
  static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var sum: UInt64 = 0x9e37_79b9_7f4a_7c15
    func add(_ word: UInt64) {
      sum = (sum ^ word) &* 0xff51_afd7_ed55_8ccd
      sum ^= sum >> 29
    }
    let whole = bytes.count / 8 * 8
    for i in stride(from: 0, to: whole, by: 8) { add(bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)) }
    for byte in bytes[whole...] { add(UInt64(byte)) }
    return sum
  }
}

/// Reads the file back before it gets its name.
private func verify(
  _ pieces: [WrittenPiece], _ parts: [GGUFLayout], _ companion: String?, in output: OutputFile
) throws(CheckpointError) {
  let path = output.path
  let mapped = try MappedFile(path: output.temporary)
  guard mapped.bytes.count == output.count else { throw .unverified(path: path, tensor: "its length") }
  for piece in pieces where WrittenPiece.sum(UnsafeRawBufferPointer(rebasing: mapped.bytes[piece.range])) != piece.sum {
    throw .unverified(path: path, tensor: piece.tensor)
  }
  var files = [try GGUFFile(mapped)]
  if let companion, let second = try files[0].companion(companion) { files.append(second) }
  guard files.count == parts.count else { throw .unverified(path: path, tensor: companion ?? "") }
  for (file, part) in zip(files, parts) {
    for (key, value) in part.content.metadata where file.value(key) != value {
      throw .unverified(path: path, tensor: key)
    }
    for tensor in part.content.tensors
    where file.shape(of: tensor.name) != tensor.shape || file.type(of: tensor.name) != tensor.type {
      throw .unverified(path: path, tensor: tensor.name)
    }
  }
}
