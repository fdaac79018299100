import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct GGUFFileTests {
  /// Made by the gguf package.
  @Test func readsEveryTypeOfValue() throws {
    let file = try GGUFFile(path: fixture("small.gguf"))
    let integers = [
      "an.uint8": 200, "an.int8": -3, "an.uint16": 60000, "an.int16": -300, "an.uint32": 4_000_000_000,
      "an.int32": -70000, "an.uint64": 1 << 40, "an.int64": -(1 << 40),
    ]
    for (key, value) in integers { #expect(try file.integer(key) == value, "\(key)") }
    #expect(try file.number("a.float32") == 0.1 && file.number("a.float64") == 0.25 && file.number("an.int8") == -3)
    #expect(try file.bool("a.bool") == true && file.string("a.string") == "tafel é")
    #expect(try file.integers("some.int32s") == [1, -2, 3] && file.numbers("some.float32s") == [0.5, -1.5])
    #expect(try file.strings("some.strings")?.map { String(decoding: $0, as: UTF8.self) } == ["<s>", "▁a", ""])
    #expect(try file.string("general.architecture") == "test" && file.integer("absent") == nil)
    #expect(file.metadataKeys.first == "general.architecture" && file.metadataKeys.last == "some.strings")
  }

  @Test func whatIsOfAnotherTypeIsNamed() throws {
    let file = try GGUFFile(path: fixture("small.gguf"))
    func refusal(_ body: () throws -> Any?) -> CheckpointError? {
      do { return try body() as? CheckpointError } catch { return error as? CheckpointError }
    }
    func wrong(_ key: String, _ expected: String, _ found: String) -> CheckpointError {
      .wrongValue(path: file.path, key: key, expected: expected, found: found)
    }
    #expect(refusal { try file.integer("a.string") } == wrong("a.string", "a whole number", "a string"))
    #expect(
      refusal { try file.integer("some.int32s") } == wrong("some.int32s", "a whole number", "an array of 3 int32"))
    #expect(refusal { try file.integer("an.uint8", in: 0...9) } == wrong("an.uint8", "0…9", "200"))
    #expect(refusal { try file.string("an.int8") } == wrong("an.int8", "a string", "a int8"))
    #expect(refusal { try file.bool("an.int8") } == wrong("an.int8", "a bool", "a int8"))
    #expect(refusal { try file.number("a.bool") } == wrong("a.bool", "a number", "a bool"))
    #expect(refusal { try file.numbers("a.float32") } == wrong("a.float32", "an array of numbers", "a float32"))
    #expect(refusal { try file.strings("a.string") } == wrong("a.string", "an array of strings", "a string"))
    #expect(
      refusal { try file.integers("some.strings") } == wrong("some.strings", "whole numbers", "an array of 3 string"))
  }

  @Test func readsEveryTypeOfTensor() throws {
    let file = try GGUFFile(path: fixture("small.gguf"))
    let blocks = try openCheckpoint(fixture("blocks.safetensors"))
    let numbers = try blocks.tensor("numbers")
    #expect(file.keys == ["dense", "half", "vector", "q8_0", "q4_0", "unread"])
    #expect(try file.tensor("dense", shape: [2, 6]).values == (0..<2).flatMap { r in (0..<6).map { numbers[r, $0] } })
    #expect(try file.tensor("vector", shape: [5]).values == (0..<5).map { numbers[0, $0] })
    #expect(file.typeName(of: "half") == "F16")
    for name in ["q8_0", "q4_0"] {
      let expected = try blocks.tensor("\(name.uppercased()).numbers").rows(0..<2).values
      #expect(try file.tensor(name, shape: [2, 512]).values == expected)
    }
    #expect(file.shape(of: "unread") == [2, 512] && file.typeName(of: "unread") == "Q5_0")
    #expect(file.type(of: "unread") == nil)
    #expect(throws: CheckpointError.unsupportedType(path: file.path, tensor: "unread", type: "Q5_0")) {
      try file.tensor("unread")
    }
    #expect(throws: CheckpointError.missing(key: "no", path: file.path)) { try file.matrix("no", shape: [1, 1]) }
  }
}

@Suite struct GGUFWriterTests {
  private let folder: ScratchFolder
  private let source: any Checkpoint

  init() throws {
    folder = try ScratchFolder()
    source = try openCheckpoint(fixture("blocks.safetensors"))
  }

  private func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }

  @Test func whatIsWrittenReadsBack() throws {
    let path = "\(folder.path)/a.gguf"
    let order = Array((0..<28).reversed())
    let metadata: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string("é")), ("u", .uint32(7)), ("b", .bool(false)), ("f", .float32(-0.5)),
      ("i", .int32s([-1, 2])), ("n", .float32s([1.5])), ("s", .strings([[], [0xff, 0]])),
    ]
    let some = Array(order.filter { $0 != 22 && $0 != 23 })
    let content = GGUFContent(
      metadata: metadata,
      tensors: try ElementType.allCases.filter { Quantizer.types.contains($0) && $0 != .float16 }.map {
        try GGUFTensor($0.rawValue, as: $0, from: source, key: "numbers", rows: order)
      } + [GGUFTensor("vector", values: [3, 1, 2])])
    #expect(some.count == 26)
    let companion = GGUFContent(
      metadata: [("k", .string("v"))], tensors: [try GGUFTensor("n", as: .float32, from: source, key: "numbers")])
    var steps: [Int] = []
    var total = 0
    try writeGGUF(content, companion: ("x.companion", companion), to: path) {
      steps.append($0)
      total = $1
    }
    #expect(try files() == ["a.gguf"])
    #expect(steps.last == total && steps == steps.sorted() && steps.count(where: { $0 == total }) == 1)
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int == total)

    let file = try GGUFFile(path: path)
    #expect(file.metadataKeys == metadata.map(\.key) + ["x.companion.offset", "x.companion.length"])
    for (key, value) in metadata { #expect(file.value(key) == value) }
    #expect(file.keys == content.tensors.map(\.name))
    #expect(try file.tensor("vector").values == [3, 1, 2])
    for type in ["Q8_0", "Q4_0", "Q4_K", "Q6_K"] {
      let (actual, expected) = (try file.tensor(type), try source.tensor("\(type).numbers"))
      for (row, origin) in order.enumerated() {
        let pairs = zip(actual.rows(row..<row + 1).values, expected.rows(origin..<origin + 1).values)
        #expect(pairs.allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }, "\(type) row \(row)")
      }
    }
    let second = try #require(try file.companion("x.companion"))
    #expect(second.keys == ["n"] && second.value("k") == .string("v"))
    #expect(try second.tensor("n").values == source.tensor("numbers").values)
    #expect(try file.companion("y") == nil)

    // The same blocks once more, copied as they are.
    let again = "\(folder.path)/b.gguf"
    let copies = try file.keys.map { try GGUFTensor($0, as: try #require(file.type(of: $0)), from: file, key: $0) }
    try writeGGUF(GGUFContent(tensors: copies), to: again)
    let copy = try GGUFFile(path: again)
    for key in file.keys {
      let bytes = try file.withBytes(of: key) { Array($0) }
      #expect(try copy.withBytes(of: key) { Array($0) } == bytes, "\(key)")
    }
  }

  @Test func whatCannotBeWrittenLeavesNothing() throws {
    let path = "\(folder.path)/a.gguf"
    let tooLarge = GGUFContent(tensors: [try GGUFTensor("w", as: .float16, from: source, key: "numbers")])
    #expect {
      try writeGGUF(tooLarge, to: path)
    } throws: {
      guard case .unrepresentable(_, "w", let value, "F16") = $0 as? CheckpointError else { return false }
      return value.magnitude >= 65520
    }
    #expect(try files() == [])
    let wanted = "\(folder.path)/no/a.gguf"
    #expect(throws: CheckpointError.cannotWrite(path: wanted, reason: "No such file or directory")) {
      try writeGGUF(GGUFContent(), to: wanted)
    }
    let small = try openCheckpoint(fixture("small.gguf"))
    let broken = GGUFContent(tensors: [try GGUFTensor("w", as: .q8_0, from: small, key: "dense")])
    #expect(throws: CheckpointError.brokenBlocks(path: path, tensor: "w", type: "Q8_0", columns: 6, block: 32)) {
      try writeGGUF(broken, to: path)
    }
    #expect(throws: CheckpointError.missing(key: "no", path: small.path)) {
      try GGUFTensor("w", as: .float32, from: small, key: "no")
    }
  }

  @Test func aCompanionThatLiesElsewhereIsRefused() throws {
    func refusal(offset: UInt64, length: UInt64) throws -> (path: String, error: CheckpointError?) {
      let bytes = GGUFBytes(
        entries: [
          ("c.offset", GGUFBytes.type(.uint64) + Bytes.little(offset)),
          ("c.length", GGUFBytes.type(.uint64) + Bytes.little(length)),
        ], tensors: [GGUFBytes.Tensor()], data: [UInt8](repeating: 0, count: 32) + GGUFBytes().bytes
      ).bytes
      let path = try folder.write(bytes)
      let file = try GGUFFile(path: path)
      do throws(CheckpointError) {
        _ = try file.companion("c")
        return (path, nil)
      } catch { return (path, error) }
    }
    let (start, size) = (160, 184)
    #expect(try refusal(offset: UInt64(start), length: 24).error == nil)
    var (path, error) = try refusal(offset: UInt64(start), length: 25)
    #expect(error == .outside(path: path, tensor: "c", begin: start, end: start + 25, size: size))
    (path, error) = try refusal(offset: 1 << 50, length: 1 << 50)
    #expect(error == .outside(path: path, tensor: "c", begin: 1 << 50, end: 1 << 51, size: size))
    (path, error) = try refusal(offset: .max, length: 24)
    #expect(error == .wrongValue(path: path, key: "c.offset", expected: "0…\(1 << 60)", found: "\(Int.max)"))
    (path, error) = try refusal(offset: 0, length: 184)
    #expect(error == .overlapping(path: path, first: "its tensors", second: "c"))
    (path, error) = try refusal(offset: UInt64(start) - 8, length: 32)
    #expect(error == .unrecognised(path: path, reason: "no GGUF begins at byte \(start - 8)"))
    (path, error) = try refusal(offset: UInt64(start), length: 16)
    #expect(error == .truncated(path: path, expected: 24, actual: 16))
  }

  @Test func cutAnywhereIsRefused() throws {
    let path = "\(folder.path)/a.gguf"
    let content = GGUFContent(
      metadata: [("general.architecture", .string("x")), ("s", .strings([[1, 2], []])), ("n", .float32s([1, 2]))],
      tensors: [GGUFTensor("a", values: [1, 2, 3]), GGUFTensor("b", values: [Float](repeating: 1, count: 8))])
    try writeGGUF(content, to: path)
    let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    for length in (1..<size).reversed() {
      truncate(path, off_t(length))
      #expect(throws: CheckpointError.self, "cut at \(length)") { try openCheckpoint(path) }
    }
  }
}
