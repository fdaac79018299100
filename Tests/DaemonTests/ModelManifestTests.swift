import Foundation
import Testing

@testable import Daemon

@Suite struct ModelManifestTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test func everyManifestOfTheRepositoryIsRead() throws {
    let catalog = ModelCatalog(root: Self.repository.appendingPathComponent("Models").path)
    #expect(catalog.names.contains("sam-hq-vit-tiny"))
    for name in catalog.names {
      let model = try catalog.find(name)
      #expect(model.manifest.name == name)
      let files = model.manifest.files.map(\.path)
      if let segmenter = model.manifest.segmenter { #expect(files.contains(segmenter.file)) }
      if let labeler = model.manifest.labeler { #expect(files.contains(labeler.file)) }
      for file in model.manifest.files {
        #expect(file.sha256 == nil || file.sha256?.count == 64)
        #expect(file.gitBlob == nil || file.gitBlob?.count == 40)
      }
    }
  }

  /// A published file whose digest and size nobody published.
  @Test func aFileWithoutADigestIsTakenAsItIs() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    let folder = root.appendingPathComponent("unknown")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let manifest = #"{"name":"unknown","files":[{"path":"a.pth"},{"path":"b.pth","size":3,"sha256":"00"}]}"#
    try Data(manifest.utf8).write(to: folder.appendingPathComponent("model.json"))
    let model = try ModelCatalog(root: root.path).find("unknown")
    #expect(try model.missing == ["a.pth", "b.pth"])
    #expect(try model.unverifiable == ["a.pth"])
    for file in ["a.pth", "b.pth"] { try Data([1, 2]).write(to: folder.appendingPathComponent(file)) }
    #expect(try model.missing == ["b.pth"])
  }

  /// What an index names is needed too, once the index is here.
  @Test func shardsOfAnIndexAreFilesOfTheModel() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    let folder = root.appendingPathComponent("sharded")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let manifest =
      #"{"name":"sharded","files":[{"path":"w.bin.index.json","url":"https://example.org/m/w.bin.index.json?download=1"}]}"#
    try Data(manifest.utf8).write(to: folder.appendingPathComponent("model.json"))
    let model = try ModelCatalog(root: root.path).find("sharded")
    #expect(try model.missing == ["w.bin.index.json"])
    let index = folder.appendingPathComponent("w.bin.index.json")
    try Data(#"{"weight_map":{"a":"w-2.bin","b":"w-1.bin","c":"w-2.bin"}}"#.utf8).write(to: index)
    #expect(try model.missing == ["w-1.bin", "w-2.bin"])
    #expect(try model.files.last?.url == "https://example.org/m/w-2.bin")
    try Data([1]).write(to: folder.appendingPathComponent("w-1.bin"))
    #expect(try model.missing == ["w-2.bin"])
    try Data(#"{"weight_map":{"a":"../../secret"}}"#.utf8).write(to: index)
    #expect {
      try model.files
    } throws: {
      "\($0)".contains("it names the file '../../secret', which is not beside it")
    }
  }

  /// The digests of files that people bring: at once when they are small.
  @Test func filesWithoutAManifestAreDigestedToo() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data("abc".utf8).write(to: file)
    let digests = ModelDigests([("told", "00")], unknown: [file.path, file.path + ".absent"])
    #expect(digests.known.map(\.path) == ["told", file.lastPathComponent])
    #expect(
      digests.known.last?.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  /// `git hash-object` of the same contents.
  @Test(arguments: [
    (0, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), (55, "bf2c21e539cb2a6222d1d83e9588852fe3d94b4b"),
    (64, "e965d15e332278ccee01cf28e4868f973545c187"), (5_000_000, "2f20c050aed4d19864d4f5691131ec9b0b0b3b50"),
  ]) func gitsNamesOfFiles(count: Int, name: String) throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data((0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }).write(to: file)
    #expect(try FileDigest.gitBlob(path: file.path) == name)
  }
}
