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
      for file in model.manifest.files { #expect(file.sha256 == nil || file.sha256?.count == 64) }
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
    #expect(model.missing == ["a.pth", "b.pth"])
    #expect(model.unverifiable == ["a.pth"])
    for file in ["a.pth", "b.pth"] { try Data([1, 2]).write(to: folder.appendingPathComponent(file)) }
    #expect(model.missing == ["b.pth"])
  }
}
