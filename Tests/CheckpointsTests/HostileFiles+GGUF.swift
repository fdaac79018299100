@testable import Checkpoints

extension HostileFile {
  private typealias Line = GGUFBytes.Tensor

  private static func tensors(_ lines: Line..., data: Int = 64) -> [UInt8] {
    GGUFBytes(tensors: lines, data: [UInt8](repeating: 0, count: data)).bytes
  }

  private static func value(_ bytes: [UInt8]) -> [UInt8] { GGUFBytes(entries: [("k", bytes)]).bytes }

  static let gguf: [HostileFile] = ggufHeads + ggufValues + ggufTensors

  private static let ggufHeads: [HostileFile] = [
    HostileFile("a GGUF cut behind its version") {
      Array(GGUFBytes().bytes.prefix(8))
    } _: {
      .truncated(path: $0, expected: 16, actual: 8)
    },
    HostileFile("a GGUF of version 1") {
      GGUFBytes(version: 1).bytes
    } _: {
      .malformed(path: $0, reason: "it is GGUF of version 1, not 2 or 3")
    },
    HostileFile("a GGUF of a big-endian machine") {
      GGUFBytes(version: 0x0300_0000).bytes
    } _: {
      .malformed(path: $0, reason: "it was written on a big-endian machine")
    },
    HostileFile("a GGUF with 2⁶⁴ − 1 tensors") {
      GGUFBytes(tensorCount: .max).bytes
    } _: {
      .tooMuch(path: $0, what: "tensors", limit: TensorEntry.tensorLimit)
    },
    HostileFile("a GGUF with 2⁴⁰ entries of metadata") {
      GGUFBytes(entryCount: 1 << 40).bytes
    } _: {
      .tooMuch(path: $0, what: "entries of metadata", limit: 1 << 16)
    },
    HostileFile("a GGUF with fewer entries than it says") {
      GGUFBytes(entries: [("k", GGUFBytes.uint32(1))], entryCount: 2).bytes
    } _: {
      .truncated(path: $0, expected: 49, actual: 41)
    },
    HostileFile("a GGUF with fewer tensors than it says") {
      GGUFBytes(tensors: [Line(lengths: [0])], tensorCount: 2).bytes
    } _: {
      .truncated(path: $0, expected: 65, actual: 57)
    },
    HostileFile("a GGUF's key longer than keys may be") {
      GGUFBytes(entries: [(String(repeating: "k", count: 1 << 16), GGUFBytes.uint32(1))]).bytes
    } _: {
      .tooMuch(path: $0, what: "bytes in a key", limit: 65535)
    },
    HostileFile("a GGUF's key longer than the file") {
      Array(GGUFBytes(entries: [(String(repeating: "k", count: 100), [])]).bytes.prefix(64))
    } _: {
      .truncated(path: $0, expected: 132, actual: 64)
    },
    HostileFile("a GGUF with a key twice") {
      GGUFBytes(entries: [("k", GGUFBytes.uint32(1)), ("k", GGUFBytes.uint32(1))]).bytes
    } _: {
      .duplicateName(path: $0, name: "k")
    },
  ]

  private static let ggufValues: [HostileFile] = [
    HostileFile("a GGUF's value of a type that is none") {
      value(Bytes.little(UInt32(77)))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "a value of a type 0…12", found: "77")
    },
    HostileFile("a GGUF's array of a type that is none") {
      value(GGUFBytes.type(.array) + Bytes.little(UInt32(13)) + Bytes.little(UInt64(0)))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "an array of a type 0…12", found: "13")
    },
    HostileFile("a GGUF's array of arrays") {
      value(GGUFBytes.array(.array, 1, GGUFBytes.array(.uint8, 1, [0])))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "an array of single values", found: "an array of arrays")
    },
    HostileFile("a GGUF's string longer than the file") {
      value(GGUFBytes.type(.string) + Bytes.little(UInt64(1_000_000)) + [65])
    } _: {
      .wrongValue(path: $0, key: "k", expected: "1000000 bytes of a string", found: "1 bytes to the end of the file")
    },
    HostileFile("a GGUF's string of 2⁶⁴ − 1 bytes") {
      value(GGUFBytes.type(.string) + Bytes.little(UInt64.max))
    } _: {
      .wrongValue(
        path: $0, key: "k", expected: "\(Int.max) bytes of a string", found: "0 bytes to the end of the file")
    },
    HostileFile("a GGUF's number cut short") {
      value(GGUFBytes.type(.uint64) + [0, 0])
    } _: {
      .wrongValue(path: $0, key: "k", expected: "1 values of 8 bytes", found: "2 bytes to the end of the file")
    },
    HostileFile("a GGUF's array longer than the file") {
      value(GGUFBytes.array(.float32, 1 << 20, [0, 0, 0, 0]))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "1048576 values of 4 bytes", found: "4 bytes to the end of the file")
    },
    HostileFile("a GGUF's array of 2⁶³ values") {
      value(GGUFBytes.array(.uint64, 1 << 63))
    } _: {
      .tooMuch(path: $0, what: "values of 'k'", limit: 1 << 24)
    },
    HostileFile("a GGUF's array of more strings than the file can have") {
      value(GGUFBytes.array(.string, 1000, GGUFBytes.string("a")))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "1000 strings", found: "9 bytes to the end of the file")
    },
    HostileFile("a GGUF's array with a string longer than the file") {
      value(GGUFBytes.array(.string, 2, GGUFBytes.string("a") + Bytes.little(UInt64(7)) + [65]))
    } _: {
      .wrongValue(path: $0, key: "k", expected: "7 bytes of a string", found: "1 bytes to the end of the file")
    },
    HostileFile("a GGUF aligned to 48") {
      GGUFBytes(entries: [("general.alignment", GGUFBytes.uint32(48))]).bytes
    } _: {
      .wrongValue(path: $0, key: "general.alignment", expected: "a power of two up to 65536", found: "48")
    },
    HostileFile("a GGUF aligned to a string") {
      GGUFBytes(entries: [("general.alignment", GGUFBytes.type(.string) + GGUFBytes.string("32"))]).bytes
    } _: {
      .wrongValue(path: $0, key: "general.alignment", expected: "a uint32", found: "a string")
    },
  ]

  private static let ggufTensors: [HostileFile] = [
    HostileFile("a GGUF with a tensor twice") {
      tensors(Line(), Line(offset: 32))
    } _: {
      .duplicateName(path: $0, name: "a")
    },
    HostileFile("a GGUF's tensor of five axes") {
      tensors(Line(lengths: [1, 1, 1, 1, 1]))
    } _: {
      .tooMuch(path: $0, what: "axes of 'a'", limit: 4)
    },
    HostileFile("a GGUF's tensor of 2³² axes") {
      tensors(Line(axes: .max))
    } _: {
      .tooMuch(path: $0, what: "axes of 'a'", limit: 4)
    },
    HostileFile("a GGUF's shape that overflows") {
      tensors(Line(lengths: [1 << 32, 1 << 32]))
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [1 << 32, 1 << 32])
    },
    HostileFile("a GGUF's length that no integer holds") {
      tensors(Line(lengths: [.max]))
    } _: {
      .impossibleShape(path: $0, tensor: "a", shape: [.max])
    },
    HostileFile("a GGUF's tensor of a type that is none") {
      tensors(Line(code: 4))
    } _: {
      .unsupportedType(path: $0, tensor: "a", type: "number 4 of ggml")
    },
    HostileFile("a GGUF's tensor of a type that is not read") {
      tensors(Line(lengths: [32], code: 6))
    } _: {
      .unsupportedType(path: $0, tensor: "a", type: "Q5_0")
    },
    HostileFile("a GGUF's row that is no number of blocks") {
      tensors(Line(lengths: [100, 2], code: 12), data: 288)
    } _: {
      .brokenBlocks(path: $0, tensor: "a", type: "Q4_K", columns: 100, block: 256)
    },
    HostileFile("a GGUF's tensor off its alignment") {
      tensors(Line(offset: 8))
    } _: {
      .misaligned(path: $0, tensor: "a", offset: 8, alignment: 32)
    },
    HostileFile("a GGUF's tensor beyond the file") {
      tensors(Line(offset: 96))
    } _: {
      .outside(path: $0, tensor: "a", begin: 160, end: 168, size: 128)
    },
    HostileFile("a GGUF's tensor at the end of the integers") {
      tensors(Line(offset: 0x7fff_ffff_ffff_ffe0))
    } _: {
      .outside(path: $0, tensor: "a", begin: 1 << 60 + 64, end: 1 << 60 + 72, size: 128)
    },
    HostileFile("a GGUF's tensor larger than the file") {
      tensors(Line(lengths: [256, 1 << 30], code: 14))
    } _: {
      .outside(path: $0, tensor: "a", begin: 96, end: 96 + 210 << 30, size: 160)
    },
    HostileFile("a GGUF's tensors in each other") {
      tensors(Line(lengths: [16]), Line(name: "b", lengths: [8], offset: 32))
    } _: {
      .overlapping(path: $0, first: "a", second: "b")
    },
    HostileFile("blocks in a safetensors file") {
      Bytes.safetensors(
        #"{"a":{"dtype":"Q8_0","shape":[32],"data_offsets":[0,34]}}"#, data: [UInt8](repeating: 0, count: 34))
    } _: {
      .unsupportedType(path: $0, tensor: "a", type: "Q8_0")
    },
  ]
}
