import Foundation
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

  /// The largest header accepted, as in the reference implementation.
  private static let headerLimit = 100_000_000

  static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 9 else { return false }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    return length > 1 && length <= UInt64(headerLimit) && bytes[8] == UInt8(ascii: "{")
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
    let header = Data(bytes[8..<8 + headerLength])
    guard let parsed = try? JSONSerialization.jsonObject(with: header) as? [String: Any] else {
      throw .malformed(path: path, reason: "its header is not a JSON object")
    }
    let dataStart = 8 + headerLength
    var entries: [String: TensorEntry] = [:]
    for (name, value) in parsed where name != "__metadata__" {
      entries[name] = try Self.entry(name, value, dataStart: dataStart, path: path)
    }
    let end = entries.values.map { $0.offset + $0.count * $0.type.size }.max() ?? dataStart
    guard end <= bytes.count else { throw .truncated(path: path, expected: end, actual: bytes.count) }
    self.file = file
    self.entries = entries
  }

  private static func entry(
    _ name: String, _ value: Any, dataStart: Int, path: String
  ) throws(CheckpointError) -> TensorEntry {
    guard let fields = value as? [String: Any], let typeName = fields["dtype"] as? String,
      let shape = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int], offsets.count == 2
    else {
      throw .malformed(path: path, reason: "tensor '\(name)' needs dtype, shape and two data_offsets")
    }
    guard let type = ElementType(rawValue: typeName) else {
      throw .unsupportedType(path: path, tensor: name, type: typeName)
    }
    var count = 1
    for length in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      guard length >= 0, !overflow, product < 1 << 48 else {
        throw .malformed(path: path, reason: "tensor '\(name)' has shape \(shape)")
      }
      count = product
    }
    let (begin, end) = (offsets[0], offsets[1])
    guard begin >= 0, end >= begin, end < 1 << 56, end - begin == count * type.size else {
      let needed = "tensor '\(name)' \(shape) of \(typeName) needs \(count * type.size) bytes"
      throw .malformed(path: path, reason: "\(needed), its offsets are \(begin)…\(end)")
    }
    return TensorEntry(type: type, shape: shape, offset: dataStart + begin)
  }

  public func shape(of key: String) -> [Int]? { entries[key]?.shape }
  public func type(of key: String) -> ElementType? { entries[key]?.type }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard let entry = entries[key] else { throw .missing(key: key, path: path) }
    return makeTensor(entry, in: file)
  }
}
