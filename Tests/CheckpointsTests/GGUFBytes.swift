@testable import Checkpoints

/// A GGUF file byte by byte; every number in it can be a lie.
struct GGUFBytes {
  struct Tensor {
    var name = "a"
    /// In the file's order, the last axis first.
    var lengths: [UInt64] = [2]
    var code: UInt32 = 0
    var offset: UInt64 = 0
    /// What the table says, if not the truth.
    var axes: UInt32?
  }

  var version: UInt32 = 3
  /// Keys, and what stands behind each.
  var entries: [(String, [UInt8])] = []
  var tensors: [Tensor] = []
  var data: [UInt8] = []
  /// What the head says, if not the truth.
  var entryCount: UInt64?
  var tensorCount: UInt64?

  static func string(_ text: String) -> [UInt8] { Bytes.little(UInt64(text.utf8.count)) + Array(text.utf8) }
  static func type(_ type: GGUFType) -> [UInt8] { Bytes.little(type.rawValue) }
  static func uint32(_ value: UInt32) -> [UInt8] { type(.uint32) + Bytes.little(value) }
  static func array(_ element: GGUFType, _ count: UInt64, _ payload: [UInt8] = []) -> [UInt8] {
    type(.array) + type(element) + Bytes.little(count) + payload
  }

  var bytes: [UInt8] {
    var file = Array("GGUF".utf8) + Bytes.little(version)
    file += Bytes.little(tensorCount ?? UInt64(tensors.count)) + Bytes.little(entryCount ?? UInt64(entries.count))
    for (key, value) in entries { file += Self.string(key) + value }
    for tensor in tensors {
      file += Self.string(tensor.name) + Bytes.little(tensor.axes ?? UInt32(tensor.lengths.count))
      file += tensor.lengths.flatMap { Bytes.little($0) } + Bytes.little(tensor.code) + Bytes.little(tensor.offset)
    }
    if !data.isEmpty { file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32) }
    return file + data
  }
}
