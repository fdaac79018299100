import Foundation
import Testing

@testable import Checkpoints

/// The files of `Tools/parity/checkpoints.py`.
func fixture(_ name: String) -> String {
  Bundle.module.path(forResource: "Fixtures/\(name)", ofType: nil) ?? "missing fixture \(name)"
}

@Suite struct TorchFileTests {
  private func expectEqual(_ checkpoint: any Checkpoint, prefix: String = "") throws {
    let expected = try openCheckpoint(fixture("expected.safetensors"))
    for key in expected.keys {
      let wanted = try expected.tensor(key)
      let actual = try checkpoint.tensor(prefix + key)
      #expect(actual.shape == wanted.shape, "\(key)")
      #expect(actual.values == wanted.values, "\(key)")
    }
    #expect(Set(checkpoint.keys) == Set(expected.keys.map { prefix + $0 }))
  }

  @Test(arguments: ["plain.pth", "legacy.pth", "wrapped.pt"])
  func readsWhatTorchReads(name: String) throws { try expectEqual(try openCheckpoint(fixture(name))) }

  @Test func nestedDictionariesBecomeDottedNames() throws {
    let checkpoint = try openCheckpoint(fixture("nested.bin"))
    #expect(checkpoint.keys == ["block.0", "block.1"])
    #expect(checkpoint.type(of: "block.1") == .float16)
  }

  @Test func aPickleThatRunsCommandsIsRefusedByName() {
    #expect(throws: CheckpointError.forbiddenGlobal(path: fixture("evil.pth"), name: "posix.system")) {
      try openCheckpoint(fixture("evil.pth"))
    }
  }

  @Test func compressedEntriesAreRefused() {
    #expect {
      try openCheckpoint(fixture("compressed.pth"))
    } throws: {
      guard case .malformed(_, let reason) = $0 as? CheckpointError else { return false }
      return reason.contains("compressed")
    }
  }
}

/// Every reader must answer any bytes with tensors or a typed error; a trap would end the test run.
@Suite struct HostileFileTests {
  private func write(_ bytes: some Collection<UInt8>) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// Opens and reads everything; only a `CheckpointError` may come out.
  private func tryToRead(_ bytes: [UInt8]) throws -> Bool {
    let path = try write(bytes)
    defer { try? FileManager.default.removeItem(atPath: path) }
    do throws(CheckpointError) {
      let checkpoint = try openCheckpoint(path)
      for key in checkpoint.keys { _ = try checkpoint.tensor(key) }
      return true
    } catch {
      return false
    }
  }

  @Test(arguments: ["plain.pth", "legacy.pth", "expected.safetensors", "nested.bin"])
  func truncatedAnywhere(name: String) throws {
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
    for length in stride(from: 1, to: whole.count, by: max(1, whole.count / 400)) {
      #expect(try !tryToRead(Array(whole.prefix(length))), "\(name) cut at \(length) of \(whole.count) was read")
    }
  }

  @Test(arguments: ["plain.pth", "legacy.pth", "expected.safetensors", "nested.bin"])
  func damagedAnywhere(name: String) throws {
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
    var generator = SplitMix64(state: 42)
    for _ in 0..<1500 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: 0..<min(bytes.count, 4096), using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      _ = try tryToRead(bytes)
    }
  }

  /// A pickle in an archive of one stored entry.
  private func archive(_ pickle: [UInt8]) -> [UInt8] {
    func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    let name = Array("a/data.pkl".utf8)
    let size = little(UInt32(pickle.count))
    // Flags, method, time, date and checksum are zero.
    let common = [UInt8](repeating: 0, count: 12) + size + size + little(UInt16(name.count)) + [0, 0]
    let local = little(UInt32(0x0403_4b50)) + [0, 0] + common + name + pickle
    let central =
      little(UInt32(0x0201_4b50)) + [0, 0, 0, 0] + common + [UInt8](repeating: 0, count: 10) + little(UInt32(0)) + name
    let end =
      little(UInt32(0x0605_4b50)) + [0, 0, 0, 0] + little(UInt16(1)) + little(UInt16(1)) + little(UInt32(central.count))
      + little(UInt32(local.count)) + [0, 0]
    return local + central + end
  }

  @Test func aDictionaryThatHoldsItselfIsTooDeep() throws {
    // d = {}; d['x'] = d
    let pickle: [UInt8] =
      [0x80, 2] + Array("}q".utf8) + [0] + Array("X".utf8) + [1, 0, 0, 0] + Array("xh".utf8) + [0]
      + Array("s.".utf8)
    let path = try write(archive(pickle))
    #expect(throws: CheckpointError.tooMuch(path: path, what: "levels of nesting", limit: 32)) {
      try openCheckpoint(path)
    }
  }

  @Test func listsOfListsDoNotMultiply() throws {
    // Each level holds the one before twice: 2^40 leaves in a few hundred bytes.
    var pickle: [UInt8] = [0x80, 2] + Array("]q".utf8) + [0]
    for level in 1...30 {
      pickle +=
        Array("](h".utf8) + [UInt8(level - 1)] + Array("h".utf8) + [UInt8(level - 1)] + Array("eq".utf8) + [
          UInt8(level)
        ]
    }
    let path = try write(archive(pickle + Array(".".utf8)))
    #expect(throws: CheckpointError.tooMuch(path: path, what: "values", limit: 1 << 20)) { try openCheckpoint(path) }
  }

  @Test func randomBytesAfterTheMagicOfEachFormat() throws {
    var generator = SplitMix64(state: 7)
    for start in [[0x50, 0x4b, 3, 4], [0x80, 0x02, 0x8a, 0x0a], [16, 0, 0, 0, 0, 0, 0, 0, 0x7b]] as [[UInt8]] {
      for _ in 0..<200 {
        let tail = (0..<Int.random(in: 0...300, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        #expect(try !tryToRead(start + tail))
      }
    }
  }
}

/// Steele, Lea and Flood's generator: the same numbers in every run.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
