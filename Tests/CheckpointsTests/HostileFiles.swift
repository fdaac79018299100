import Foundation
import Testing

@testable import Checkpoints

/// A file made to break a reader, and the one error that it must give.
struct HostileFile: Sendable, CustomTestStringConvertible {
  let name: String
  let make: @Sendable () -> [UInt8]
  /// The error, of a file at this path.
  let error: @Sendable (String) -> CheckpointError

  var testDescription: String { name }

  init(
    _ name: String, _ make: @escaping @Sendable () -> [UInt8], _ error: @escaping @Sendable (String) -> CheckpointError
  ) {
    (self.name, self.make, self.error) = (name, make, error)
  }

  static let all = safetensors + zips + pickles + views + gguf

  private static let tensor = #"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

  static let safetensors: [HostileFile] = [
    HostileFile("a header that claims more than the file") {
      Bytes.little(UInt64(1_000_000)) + Array("{}".utf8)
    } _: {
      .truncated(path: $0, expected: 1_000_008, actual: 10)
    },
    HostileFile("a header over the limit") {
      Bytes.little(UInt64(1 << 24 + 1)) + [UInt8](repeating: UInt8(ascii: "{"), count: 1 << 24 + 1)
    } _: {
      .tooMuch(path: $0, what: "bytes in its header", limit: 1 << 24)
    },
    HostileFile("a header nested as deep as it is long") {
      Bytes.safetensors(#"{"a":{"x":"# + String(repeating: "[", count: 1 << 20))
    } _: {
      .tooMuch(path: $0, what: "levels of nesting in its JSON", limit: 64)
    },
    HostileFile("the same name twice") {
      Bytes.safetensors(#"{"a":\#(tensor),"a":\#(tensor)}"#, data: Bytes.floats(2))
    } _: {
      .duplicateName(path: $0, name: "a")
    },
    HostileFile("the same field twice") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","dtype":"U8","shape":[2],"data_offsets":[0,8]}}"#, data: Bytes.floats(2))
    } _: {
      .duplicateName(path: $0, name: "a.dtype")
    },
    HostileFile("a shape that overflows") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#)
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [1 << 32, 1 << 32])
    },
    HostileFile("a shape that overflows behind a zero") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]}}"#)
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [0, 1 << 40, 1 << 40])
    },
    HostileFile("a length that no integer holds") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}}"#)
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [.max])
    },
    HostileFile("a negative length") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, data: Bytes.floats(2))
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [-2])
    },
    HostileFile("a shape of too many axes") {
      let shape = [String](repeating: "1", count: 1 << 20).joined(separator: ",")
      return Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[\#(shape)],"data_offsets":[0,4]}}"#)
    } _: {
      .tooMuch(path: $0, what: "axes of 'a'", limit: 16)
    },
    HostileFile("offsets that overflow") {
      Bytes.safetensors(
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,9223372036854775808]}}"#)
    } _: {
      .impossibleOffsets(path: $0, tensor: "a", begin: .max - 7, end: .max, needed: 8)
    },
    HostileFile("offsets the wrong way round") {
      Bytes.safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, data: Bytes.floats(2))
    } _: {
      .impossibleOffsets(path: $0, tensor: "a", begin: 8, end: 0, needed: 8)
    },
    HostileFile("offsets beyond the file") {
      Bytes.safetensors(#"{"a":{"dtype":"U8","shape":[1000000000],"data_offsets":[0,1000000000]}}"#)
    } _: {
      .truncated(path: $0, expected: 8 + 71 + 1_000_000_000, actual: 8 + 71)
    },
    HostileFile("tensors in each other's bytes") {
      let b = tensor.replacing("[0,8]", with: "[4,12]")
      return Bytes.safetensors(#"{"a":\#(tensor),"b":\#(b)}"#, data: Bytes.floats(3))
    } _: {
      .overlapping(path: $0, first: "a", second: "b")
    },
    HostileFile("bytes that no tensor has") {
      Bytes.safetensors(#"{"a":\#(tensor)}"#, data: Bytes.floats(3))
    } _: {
      .malformed(path: $0, reason: "no tensor has its last 4 bytes")
    },
    HostileFile("a type of the future") {
      Bytes.safetensors(#"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#, data: [0])
    } _: {
      .unsupportedType(path: $0, tensor: "a", type: "F4")
    },
    HostileFile("more tensors than anyone has") {
      let header = (0..<140_000).map { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# }
      return Bytes.safetensors("{" + header.joined(separator: ",") + "}")
    } _: {
      .tooMuch(path: $0, what: "tensors", limit: 1 << 17)
    },
  ]

  private static let good = Opcodes.dictionary([("w", Opcodes.tensor(shape: [2], strides: [1], storage: 2))])

  static let zips: [HostileFile] = [
    HostileFile("a zip bomb: an entry that inflates") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: [UInt8](repeating: 0x5d, count: 4096), method: 8)]).bytes
    } _: {
      .compressed(path: $0, entry: "a/data.pkl")
    },
    HostileFile("a zip bomb: two entries in the same bytes") {
      ZipFile(entries: [
        .init(name: "a/data.pkl", data: good), .init(name: "a/data/0", data: Bytes.floats(2)),
        .init(name: "a/data/1", data: Bytes.floats(2), size: 8, offset: UInt32(30 + 10 + good.count)),
      ]).bytes
    } _: {
      .overlapping(path: $0, first: "a/data/0", second: "a/data/1")
    },
    HostileFile("an entry that runs into the directory") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good, size: UInt32(good.count + 60))]).bytes
    } _: {
      .overlapping(path: $0, first: "a/data.pkl", second: "the zip directory")
    },
    HostileFile("an entry of four gigabytes") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good, size: 0xffff_fff0)]).bytes
    } _: {
      .truncated(path: $0, expected: 40 + 0xffff_fff0, actual: 118 + good.count)
    },
    HostileFile("an entry that begins beyond the file") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good, offset: 0x7fff_ffff)]).bytes
    } _: {
      .truncated(path: $0, expected: 0x7fff_ffff + 4, actual: 118 + good.count)
    },
    HostileFile("the same entry twice") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good), .init(name: "a/data.pkl", data: good)]).bytes
    } _: {
      .duplicateName(path: $0, name: "a/data.pkl")
    },
    HostileFile("two pickles") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good), .init(name: "b/data.pkl", data: good)]).bytes
    } _: {
      .duplicateName(path: $0, name: "data.pkl")
    },
    HostileFile("a zip of something else") {
      ZipFile(entries: [.init(name: "word/document.xml", data: [1])]).bytes
    } _: {
      .unrecognised(path: $0, reason: "it is a zip archive without data.pkl")
    },
    HostileFile("a storage that is not there") {
      ZipFile(entries: [.init(name: "a/data.pkl", data: good)]).bytes
    } _: {
      .malformed(path: $0, reason: "its archive has no data/0")
    },
    HostileFile("a storage shorter than its tensor") {
      ZipFile.torch(good, storage: Bytes.floats(1))
    } _: { path in
      let begin = 30 + 10 + good.count + 30 + 8
      return .impossibleOffsets(path: path, tensor: "w", begin: begin, end: begin + 4, needed: 8)
    },
    HostileFile("an old file whose storage is listed twice") {
      Opcodes.legacy(good, keys: ["0", "0"], storages: [Bytes.floats(2), Bytes.floats(2)])
    } _: {
      .duplicateName(path: $0, name: "0")
    },
  ]

  /// A torch archive of the pickle of these opcodes.
  private static func archive(_ opcodes: [UInt8]..., storage: [UInt8] = []) -> [UInt8] {
    ZipFile.torch(Opcodes.pickle(Array(opcodes.joined())), storage: storage)
  }

  private static let one = Opcodes.tensor(shape: [1], strides: [1], storage: 1)

  static let pickles: [HostileFile] = [
    HostileFile("os.system") {
      archive(Opcodes.global("os", "system"), Opcodes.text("id"), [0x85], Opcodes.named("R"))
    } _: {
      .forbiddenGlobal(path: $0, name: "os.system")
    },
    HostileFile("os.system by STACK_GLOBAL") {
      archive(Opcodes.stackGlobal("os", "system"), Opcodes.text("id"), [0x85], Opcodes.named("R"))
    } _: {
      .forbiddenGlobal(path: $0, name: "os.system")
    },
    HostileFile("os.system in an old file") {
      Opcodes.legacy(Opcodes.pickle(Opcodes.global("posix", "system")), storages: [])
    } _: {
      .forbiddenGlobal(path: $0, name: "posix.system")
    },
    HostileFile("a name that hides behind a known module") {
      archive(Opcodes.stackGlobal("torch", "serialization.os.system"))
    } _: {
      .forbiddenGlobal(path: $0, name: "torch.serialization.os.system")
    },
    HostileFile("a global with a name of megabytes") {
      archive(Opcodes.stackGlobal("os", String(repeating: "s", count: 1 << 22)))
    } _: {
      .forbiddenGlobal(path: $0, name: "os." + String(repeating: "s", count: 64))
    },
    HostileFile("a dictionary that holds itself") {
      // d = {}; d['x'] = d
      archive(Opcodes.named("}q"), [0], Opcodes.text("x"), Opcodes.named("h"), [0], Opcodes.named("s"))
    } _: {
      .tooMuch(path: $0, what: "levels of nesting", limit: 32)
    },
    HostileFile("a list that holds itself") {
      archive(Opcodes.named("]q"), [0], Opcodes.named("h"), [0], Opcodes.named("a"))
    } _: {
      .tooMuch(path: $0, what: "levels of nesting", limit: 32)
    },
    HostileFile("lists that double at each level") {
      // 2³⁰ leaves in a few hundred bytes.
      var opcodes = Opcodes.named("]q") + [0]
      for level in UInt8(1)...30 {
        opcodes += Opcodes.named("](h") + [level - 1]
        opcodes += Opcodes.named("h") + [level - 1]
        opcodes += Opcodes.named("eq") + [level]
      }
      return archive(opcodes)
    } _: {
      .tooMuch(path: $0, what: "values", limit: 1 << 20)
    },
    HostileFile("tuples nested a million deep") {
      archive(Opcodes.named(")"), [UInt8](repeating: 0x85, count: 1_000_000))
    } _: {
      .unrecognised(path: $0, reason: "it holds no tensors")
    },
    HostileFile("lists nested half a million deep") {
      archive([UInt8](repeating: 0x5d, count: 500_000), [UInt8](repeating: 0x61, count: 499_999))
    } _: {
      .tooMuch(path: $0, what: "levels of nesting", limit: 32)
    },
    HostileFile("a million lists") {
      archive([UInt8](repeating: 0x5d, count: 4_000_000))
    } _: {
      .tooMuch(path: $0, what: "opcodes in its pickle", limit: 1 << 20)
    },
    HostileFile("a million entries in the memo") {
      archive(Opcodes.named("N"), [UInt8](repeating: 0x94, count: 4_000_000))
    } _: {
      .tooMuch(path: $0, what: "opcodes in its pickle", limit: 1 << 20)
    },
    HostileFile("a text of sixteen megabytes") {
      archive(Opcodes.text(String(repeating: "x", count: 1 << 24)))
    } _: {
      .tooMuch(path: $0, what: "bytes in its pickle", limit: 1 << 24)
    },
    HostileFile("a text longer than its pickle") {
      ZipFile.torch([0x80, 2] + Opcodes.named("X") + Bytes.little(UInt32.max))
    } _: {
      .malformed(path: $0, reason: "its pickle ends in the middle of a value")
    },
    HostileFile("a long name that every tensor has in it") {
      let name = Opcodes.text(String(repeating: "n", count: 1 << 20))
      return archive(
        Opcodes.named("}"), name, Opcodes.named("]"), one, Opcodes.named("as"), storage: Bytes.floats(1))
    } _: {
      .tooMuch(path: $0, what: "bytes in a tensor's name", limit: 1024)
    },
    HostileFile("the same tensor name twice") {
      ZipFile.torch(Opcodes.dictionary([("w", one), ("w", one)]), storage: Bytes.floats(1))
    } _: {
      .duplicateName(path: $0, name: "w")
    },
    HostileFile("a dotted name that a nested one has too") {
      let inner = Opcodes.named("}") + Opcodes.text("b") + one + Opcodes.named("s")
      return ZipFile.torch(Opcodes.dictionary([("a.b", one), ("a", inner)]), storage: Bytes.floats(1))
    } _: {
      .duplicateName(path: $0, name: "a.b")
    },
    HostileFile("a pop from nothing") {
      archive(Opcodes.named("0"))
    } _: {
      .malformed(path: $0, reason: "its pickle is inconsistent at byte 43")
    },
  ]

  private static func view(
    _ name: String, shape: [Int], strides: [Int], offset: Int = 0, storage: Int = 6,
    _ error: @escaping @Sendable (String) -> CheckpointError
  ) -> HostileFile {
    HostileFile(name) {
      let tensor = Opcodes.tensor(shape: shape, strides: strides, offset: offset, storage: storage)
      return ZipFile.torch(Opcodes.dictionary([("w", tensor)]), storage: Bytes.floats(6))
    } _: {
      error($0)
    }
  }

  private static func impossible(
    _ name: String, shape: [Int], strides: [Int], offset: Int = 0
  ) -> HostileFile {
    view(name, shape: shape, strides: strides, offset: offset) {
      .impossibleView(path: $0, shape: shape, strides: strides, offset: offset, storage: 6)
    }
  }

  static let views: [HostileFile] = [
    impossible("a negative stride", shape: [2, 3], strides: [3, -1], offset: 2),
    impossible("strides of zero that make much of little", shape: [1 << 30], strides: [0]),
    impossible("a stride that overflows", shape: [2, 2], strides: [.max, 1]),
    impossible("strides that overflow together", shape: [2, 2], strides: [.max / 2, .max / 2 + 2]),
    impossible("a storage read beyond its end", shape: [2, 3], strides: [3, 1], offset: 1),
    impossible("a negative offset", shape: [2], strides: [1], offset: -1),
    impossible("an offset that overflows", shape: [2], strides: [1], offset: .max),
    impossible("fewer strides than axes", shape: [2, 3], strides: [1]),
    view("a shape that overflows a pickle", shape: [1 << 32, 1 << 32], strides: [1, 1]) {
      .impossibleShape(path: $0, tensor: "storage 0", shape: [1 << 32, 1 << 32])
    },
    view("a shape that overflows behind a zero in a pickle", shape: [0, 1 << 40, 1 << 40], strides: [1, 1, 1]) {
      .impossibleShape(path: $0, tensor: "storage 0", shape: [0, 1 << 40, 1 << 40])
    },
    view("a negative length in a pickle", shape: [-1], strides: [1]) {
      .impossibleShape(path: $0, tensor: "storage 0", shape: [-1])
    },
    view("a storage of more numbers than any file", shape: [1], strides: [1], storage: 1 << 50) {
      .impossibleShape(path: $0, tensor: "storage 0", shape: [1 << 50])
    },
    view("a tensor of too many axes", shape: [Int](repeating: 1, count: 17), strides: [Int](repeating: 1, count: 17)) {
      .tooMuch(path: $0, what: "axes of a tensor", limit: 16)
    },
    view("a view of a storage that is shorter than it claims", shape: [2], strides: [1], offset: 998, storage: 1000) {
      path in
      let tensor = Opcodes.tensor(shape: [2], strides: [1], offset: 998, storage: 1000)
      let begin = 30 + 10 + Opcodes.dictionary([("w", tensor)]).count + 30 + 8
      return .impossibleOffsets(path: path, tensor: "w", begin: begin, end: begin + 24, needed: 4000)
    },
  ]
}
