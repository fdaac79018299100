import Foundation
import Testing

@testable import Checkpoints

/// A folder for a test's files, gone with it.
final class ScratchFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: some Collection<UInt8>, as name: String = "file") throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

/// What opening a checkpoint and reading all of it throws.
private func refusal(_ path: String) -> CheckpointError? {
  do throws(CheckpointError) {
    let checkpoint = try openCheckpoint(path)
    for key in checkpoint.keys { _ = try checkpoint.tensor(key) }
    return nil
  } catch { return error }
}

private func numpyRefusal(_ path: String) -> CheckpointError? {
  do throws(CheckpointError) {
    _ = try NumpyFile.read(path)
    return nil
  } catch { return error }
}

/// The most memory that this process had, in MiB.
private func peakMegabytes() -> Int {
  #if os(Linux)
    // What `getrusage` tells begins with the most of the process that started this one.
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 / 1024 } ?? .max
  #else
    var usage = rusage()
    getrusage(RUSAGE_SELF, &usage)
    return usage.ru_maxrss >> 20
  #endif
}

/// Every reader must answer any bytes with tensors or with the error that says what is wrong; a trap would end the run.
/// `Tests/FuzzTests` tries bytes that nobody thought of.
@Suite struct HostileFileTests {
  @Test(arguments: HostileFile.all) func givesItsOwnError(file: HostileFile) throws {
    let folder = try ScratchFolder()
    let path = try folder.write(file.make())
    #expect(refusal(path) == file.error(path))
  }

  @Test func noneTakesMuchMemoryOrTime() async throws {
    let folder = try ScratchFolder()
    for (index, file) in HostileFile.all.enumerated() { _ = try folder.write(file.make(), as: "\(index)") }
    let (path, count) = (folder.path, HostileFile.all.count)
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      [path = path as String, count = count as Int] in
      // Other tests' time and memory are not in this process; its own is some 50 MiB.
      for index in 0..<count {
        let start = clock()
        _ = refusal("\(path)/\(index)")
        let seconds = Double(clock() - start) / Double(CLOCKS_PER_SEC)
        let peak = peakMegabytes()
        let line = "'\(HostileFile.all[index].name)': \(seconds) s, \(peak) MiB\n"
        try FileHandle.standardError.write(contentsOf: Data(line.utf8))
        guard seconds < 1, peak < 256 else { exit(EXIT_FAILURE) }
      }
    }
    let report = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    if ProcessInfo.processInfo.environment["PANDION_TEST_VERBOSE"] != nil { print(report) }
    #expect(report.split(separator: "\n").count >= count, "\(report.suffix(200))")
    withExtendedLifetime(folder) {}
  }

  /// Three megabytes in each format.
  private static let numbers = 3 << 18
  private static let whole: [String: @Sendable () -> [UInt8]] = [
    "safetensors": {
      let header = #"{"w":{"dtype":"F32","shape":[\#(numbers)],"data_offsets":[0,\#(4 * numbers)]}}"#
      return Bytes.safetensors(header, data: Bytes.floats(numbers))
    },
    "torch": {
      let pickle = Opcodes.dictionary([("w", Opcodes.tensor(shape: [numbers], strides: [1], storage: numbers))])
      return ZipFile.torch(pickle, storage: Bytes.floats(numbers))
    },
    "torch before 1.6": {
      let pickle = Opcodes.dictionary([("w", Opcodes.tensor(shape: [numbers], strides: [1], storage: numbers))])
      return Opcodes.legacy(pickle, storages: [Bytes.floats(numbers)])
    },
    "npy": {
      Bytes.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (\(numbers),), }\n", data: Bytes.floats(numbers))
    },
  ]

  @Test(arguments: whole.keys.sorted()) func cutAtEvery64KiBIsTruncated(format: String) throws {
    let folder = try ScratchFolder()
    let make = try #require(Self.whole[format])
    let bytes = make()
    let path = try folder.write(bytes)
    let read = format == "npy" ? numpyRefusal : refusal
    #expect(read(path) == nil)
    for length in stride(from: 0, to: bytes.count, by: 1 << 16).reversed() {
      truncate(path, length)
      switch read(path) {
      case .truncated(_, let expected, let actual): #expect(actual == length && expected > length)
      case .unrecognised where length == 0: break
      case let other: Issue.record("\(format) cut at \(length): \(String(describing: other))")
      }
    }
  }

  @Test(arguments: ["plain.pth", "legacy.pth", "expected.safetensors", "nested.bin"])
  func cutAnywhereIsRefused(name: String) throws {
    let folder = try ScratchFolder()
    let whole = try Data(contentsOf: URL(fileURLWithPath: fixture(name)))
    let path = try folder.write(whole)
    for length in stride(from: whole.count - 1, to: 0, by: -7) {
      truncate(path, length)
      #expect(refusal(path) != nil, "\(name) cut at \(length)")
    }
  }

  @Test func whatIsNoFileCannotBeOpened() throws {
    let folder = try ScratchFolder()
    let pipe = "\(folder.path)/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    for path in [pipe, folder.path, "/dev/zero"] {
      #expect(throws: CheckpointError.cannotOpen(path: path, reason: "not a regular file")) { try openCheckpoint(path) }
    }
    #expect(throws: CheckpointError.unrecognised(path: try folder.write([]), reason: "the file is empty")) {
      try openCheckpoint("\(folder.path)/file")
    }
  }
}

@Suite struct HostileShardTests {
  private let folder: ScratchFolder
  private let index: String

  init() throws {
    folder = try ScratchFolder()
    index = "\(folder.path)/index.json"
    let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
    _ = try folder.write(Bytes.safetensors(header, data: Bytes.floats(2)), as: "1.safetensors")
  }

  private func refusal(_ json: String) throws -> CheckpointError? {
    _ = try folder.write(Array(json.utf8), as: "index.json")
    do throws(CheckpointError) {
      _ = try ShardedCheckpoint(index: index)
      return nil
    } catch { return error }
  }

  @Test func readsWhatIsWhole() throws {
    #expect(try refusal(#"{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors"}}"#) == nil)
  }

  @Test func everyMissingTensorIsListed() throws {
    #expect(
      try refusal(#"{"weight_map":{"a":"1.safetensors","c":"1.safetensors","b":"1.safetensors"}}"#)
        == .wrongTensors(path: index, missing: ["b", "c"], unexpected: []))
  }

  @Test func shardsAreFilesBesideTheIndex() throws {
    #expect(
      try refusal(#"{"weight_map":{"a":"2.safetensors"}}"#)
        == .cannotOpen(path: "\(folder.path)/2.safetensors", reason: "No such file or directory"))
    for name in ["../1.safetensors", "/etc/passwd", "", ".", ".."] {
      #expect(
        try refusal(#"{"weight_map":{"a":"\#(name)"}}"#)
          == .malformed(path: index, reason: "it names the file '\(name)', which is not beside it"))
    }
  }

  @Test func indexesThatNameEachOtherAreNoShards() throws {
    let reason = "it begins like none of: safetensors, torch zip, torch before 1.6, GGUF"
    #expect(
      try refusal(#"{"weight_map":{"a":"index.json"}}"#) == .unrecognised(path: index, reason: reason))
    _ = try folder.write(Array(#"{"weight_map":{"a":"index.json"}}"#.utf8), as: "other.json")
    #expect(
      try refusal(#"{"weight_map":{"a":"other.json"}}"#)
        == .unrecognised(path: "\(folder.path)/other.json", reason: reason))
  }

  @Test func namesComeOnce() throws {
    #expect(
      try refusal(#"{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}"#)
        == .duplicateName(path: index, name: "a"))
    #expect(
      try refusal(#"{"weight_map":{"a":"1.safetensors"},"weight_map":{}}"#)
        == .duplicateName(path: index, name: "weight_map"))
  }

  @Test func whatIsNoIndexIsMalformed() throws {
    #expect(try refusal("{}") == .malformed(path: index, reason: "it has no 'weight_map' of names to files"))
    #expect(
      try refusal(#"{"weight_map":[]}"#) == .malformed(path: index, reason: "its JSON wants '{' at byte 14"))
    #expect(
      try refusal(#"{"a":"# + String(repeating: "[", count: 100_000))
        == .tooMuch(path: index, what: "levels of nesting in its JSON", limit: 64))
    #expect(
      try refusal("{" + (0..<2000).map { #""k\#($0)":"f\#($0)""# }.joined(separator: ",") + "}")
        == .malformed(path: index, reason: "it has no 'weight_map' of names to files"))
    let many = (0..<1025).map { #""k\#($0)":"f\#($0)""# }.joined(separator: ",")
    #expect(try refusal(#"{"weight_map":{\#(many)}}"#) == .tooMuch(path: index, what: "shards", limit: 1024))
  }
}

@Suite struct HostileNumpyTests {
  private func refusal(_ bytes: [UInt8]) throws -> (path: String, error: CheckpointError?) {
    let folder = try ScratchFolder()
    let path = try folder.write(bytes)
    return (path, numpyRefusal(path))
  }

  private func refusal(
    descr: String = "'<f4'", order: String = "False", shape: String = "(2,)", more: String = "", numbers: Int = 2
  ) throws -> (path: String, error: CheckpointError?) {
    try refusal(
      Bytes.npy(
        "{'descr': \(descr), 'fortran_order': \(order), 'shape': \(shape), \(more)}\n", data: Bytes.floats(numbers)))
  }

  @Test func readsWhatNumpyWrites() throws {
    #expect(try refusal().error == nil)
    #expect(try refusal(shape: "()").error == nil)
    #expect(try refusal(shape: "(0, 3)").error == nil)
    #expect(try refusal(descr: "'<f8'", shape: "(1, 1)").error == nil)
  }

  @Test func headersThatLieAreRefused() throws {
    var (path, error) = try refusal(shape: "(3,)")
    #expect(error == .truncated(path: path, expected: 80, actual: 76))
    (path, error) = try refusal(shape: "(4294967296, 4294967296)")
    #expect(error == .impossibleShape(path: path, tensor: "array", shape: [1 << 32, 1 << 32]))
    (path, error) = try refusal(shape: "(0, 1099511627776, 1099511627776)")
    #expect(error == .impossibleShape(path: path, tensor: "array", shape: [0, 1 << 40, 1 << 40]))
    (path, error) = try refusal(shape: "(99999999999999999999,)")
    #expect(error == .impossibleShape(path: path, tensor: "array", shape: [.max]))
    (path, error) = try refusal(shape: "(-2,)")
    #expect(error == .impossibleShape(path: path, tensor: "array", shape: [-2]))
    (path, error) = try refusal(shape: "(16777217,)")
    #expect(error == .tooMuch(path: path, what: "numbers", limit: 1 << 24))
    (path, error) = try refusal(shape: "(" + String(repeating: "1,", count: 17) + ")")
    #expect(error == .tooMuch(path: path, what: "axes", limit: 16))
    (path, error) = try refusal(descr: "'|O'")
    #expect(error == .unsupportedType(path: path, tensor: "array", type: "|O"))
    (path, error) = try refusal(order: "True")
    #expect(error == .malformed(path: path, reason: "it is not in C order (use numpy.ascontiguousarray)"))
    (path, error) = try refusal(more: "'shape': (1,)")
    #expect(error == .duplicateName(path: path, name: "shape"))
    (path, error) = try refusal(more: "'x': 1")
    #expect(error == .malformed(path: path, reason: "its header has the key 'x'"))
    (path, error) = try refusal(order: "__import__('os').system('id')")
    #expect(error == .malformed(path: path, reason: "its header wants True or False at its byte 34"))
    (path, error) = try refusal(shape: "[2]")
    #expect(error == .malformed(path: path, reason: "its header wants '(' at its byte 50"))
    (path, error) = try refusal(Bytes.npy("{}"))
    #expect(error == .malformed(path: path, reason: "its header needs descr, fortran_order and shape"))
    (path, error) = try refusal([0x93] + Array("NUMPY".utf8) + [2, 0] + Bytes.little(UInt32.max))
    #expect(error == .tooMuch(path: path, what: "bytes in its header", limit: 1 << 16))
    (path, error) = try refusal([0x93] + Array("NUMPY".utf8) + [9, 0, 0, 0, 0, 0])
    #expect(error == .unrecognised(path: path, reason: "it does not begin like a .npy file of version 1 to 3"))
  }
}
