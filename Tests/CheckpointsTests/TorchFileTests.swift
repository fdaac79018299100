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
    #expect(throws: CheckpointError.compressed(path: fixture("compressed.pth"), entry: "archive/data.pkl")) {
      try openCheckpoint(fixture("compressed.pth"))
    }
  }
}
