import Foundation

/// Files byte by byte, so that each can be wrong in one place.
enum Bytes {
  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// Numbers that are none of a file's structure.
  static func floats(_ count: Int) -> [UInt8] { (0..<count).flatMap { little((Float($0) * 0.5).bitPattern) } }

  /// A safetensors file.
  static func safetensors(_ header: String, data: [UInt8] = []) -> [UInt8] {
    little(UInt64(header.utf8.count)) + Array(header.utf8) + data
  }

  /// A `.npy` file of version 1.
  static func npy(_ header: String, data: [UInt8] = []) -> [UInt8] {
    let magic: [UInt8] = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]
    return magic + little(UInt16(header.utf8.count)) + Array(header.utf8) + data
  }
}

/// A zip archive; every number in it can be a lie.
struct ZipFile {
  struct Entry {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    /// What the directory says, if not the truth.
    var size: UInt32?
    var offset: UInt32?
  }

  var entries: [Entry]

  var bytes: [UInt8] {
    var (file, directory): ([UInt8], [UInt8]) = ([], [])
    for entry in entries {
      let name = Array(entry.name.utf8)
      let size = Bytes.little(UInt32(entry.data.count))
      // Flags, time, date and checksum are zero.
      func common(_ size: [UInt8]) -> [UInt8] {
        let zeros = [UInt8](repeating: 0, count: 8)
        return Array(
          [[0, 0], Bytes.little(entry.method), zeros, size, size, Bytes.little(UInt16(name.count)), [0, 0]].joined())
      }
      let offset = entry.offset ?? UInt32(file.count)
      let local: [[UInt8]] = [Bytes.little(UInt32(0x0403_4b50)), [0, 0], common(size), name, entry.data]
      file += local.joined()
      let central: [[UInt8]] = [
        Bytes.little(UInt32(0x0201_4b50)), [0, 0, 0, 0], common(entry.size.map { Bytes.little($0) } ?? size),
        [UInt8](repeating: 0, count: 10), Bytes.little(offset), name,
      ]
      directory += central.joined()
    }
    let count = Bytes.little(UInt16(entries.count))
    let end: [[UInt8]] = [
      Bytes.little(UInt32(0x0605_4b50)), [0, 0, 0, 0], count, count, Bytes.little(UInt32(directory.count)),
      Bytes.little(UInt32(file.count)), [0, 0],
    ]
    return file + directory + Array(end.joined())
  }

  /// A torch archive of one pickle and one storage.
  static func torch(_ pickle: [UInt8], storage: [UInt8] = []) -> [UInt8] {
    ZipFile(entries: [Entry(name: "a/data.pkl", data: pickle), Entry(name: "a/data/0", data: storage)]).bytes
  }
}

/// Opcodes of a pickle, protocol 2 and 4.
enum Opcodes {
  /// Opcodes by their letters in `pickletools`.
  static func named(_ letters: String) -> [UInt8] { Array(letters.utf8) }
  static func pickle(_ body: [UInt8]) -> [UInt8] { [0x80, 2] + body + named(".") }
  static func text(_ string: String) -> [UInt8] {
    named("X") + Bytes.little(UInt32(string.utf8.count)) + named(string)
  }
  static func global(_ module: String, _ name: String) -> [UInt8] { named("c\(module)\n\(name)\n") }
  /// STACK_GLOBAL, of protocol 4.
  static func stackGlobal(_ module: String, _ name: String) -> [UInt8] { text(module) + text(name) + [0x93] }
  static func int(_ value: Int) -> [UInt8] { [0x8a, 8] + Bytes.little(value) }
  static func tuple(_ items: [[UInt8]]) -> [UInt8] { named("(") + Array(items.joined()) + named("t") }

  /// A call of `_rebuild_tensor_v2` with a view of float32 storage "0".
  static func tensor(shape: [Int], strides: [Int], offset: Int = 0, storage: Int) -> [UInt8] {
    let id = tuple([text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), int(storage)])
    let hooks = global("collections", "OrderedDict") + named(")R")
    let arguments = [id + named("Q"), int(offset), tuple(shape.map(int)), tuple(strides.map(int)), [0x89], hooks]
    return global("torch._utils", "_rebuild_tensor_v2") + tuple(arguments) + named("R")
  }

  /// `{name: value, …}` as one pickle.
  static func dictionary(_ items: [(String, [UInt8])]) -> [UInt8] {
    let entries = items.map { text($0.0) + $0.1 }
    return pickle(named("}(") + Array(entries.joined()) + named("u"))
  }

  /// A file of torch before 1.6 with float32 storages.
  static func legacy(_ object: [UInt8], keys: [String] = ["0"], storages: [[UInt8]]) -> [UInt8] {
    let magic: [UInt8] = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]
    let list = named("](") + Array(keys.map(text).joined()) + named("e")
    let head = [pickle(magic), pickle(int(1001)), pickle(named("}")), object, pickle(list)]
    return Array(head.joined()) + Array(storages.map { Bytes.little($0.count / 4) + $0 }.joined())
  }
}
