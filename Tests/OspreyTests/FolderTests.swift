import Checkpoints
import Foundation
import Tensors
import Testing

@testable import Osprey

/// Folders as people have them, and damaged ones.
@Suite struct FolderTests {
  /// A folder of links to fixtures under the given names; removed with the test's end.
  private func withFolder(_ files: [String: String], _ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "osprey-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for (name, fixture) in files {
      try FileManager.default.copyItem(atPath: Fixture.path(fixture), toPath: folder + "/" + name)
    }
    try body(folder)
  }

  private let parts = ["config.json": "plain_heads.config.json", "tokenizer.model": "tokenizer.model"]

  @Test func oneFileOrShardsGiveTheSameModel() throws {
    let whole = parts.merging([
      "labeler.safetensors": "plain_heads.safetensors", "vision_tower.safetensors": "plain_heads.tower.safetensors",
    ]) { $1 }
    let shards = parts.merging([
      "model-1.safetensors": "plain_heads.safetensors", "model-2.safetensors": "plain_heads.tower.safetensors",
    ]) { $1 }
    let image = Fixture.picture(width: 50, height: 70)
    let small = ImagePreprocessor(size: 64)
    var tokens: [Float] = []
    try withFolder(whole) { folder in
      tokens = try Osprey(folder: folder, preprocessor: small).features(image).imageTokens.values
    }
    try withFolder(shards) { folder in
      var map: [String: String] = [:]
      for name in ["model-1.safetensors", "model-2.safetensors"] {
        for key in try openCheckpoint(folder + "/" + name).keys { map[key] = name }
      }
      let index = URL(fileURLWithPath: folder + "/model.safetensors.index.json")
      try JSONSerialization.data(withJSONObject: ["weight_map": map]).write(to: index)
      #expect(try Osprey(folder: folder, preprocessor: small).features(image).imageTokens.values == tokens)
      for bad in [["x": "../escape"], ["x": "absent.safetensors"], ["x": "model-1.safetensors"]] {
        try JSONSerialization.data(withJSONObject: ["weight_map": bad]).write(to: index)
        #expect(throws: OspreyError.self) { _ = try Osprey(folder: folder) }
      }
    }
  }

  @Test func whatIsMissingIsNamed() throws {
    try withFolder(parts) { folder in
      #expect(throws: OspreyError.self) { _ = try Osprey(folder: folder) }
    }
    try withFolder(parts.merging(["labeler.safetensors": "plain_heads.safetensors"]) { $1 }) { folder in
      let weights = folder + "/labeler.safetensors"
      #expect(
        throws: OspreyError.notFound(what: "ConvNeXt trunk; name the open_clip file with --vision-tower", path: weights)
      ) { _ = try Osprey(folder: folder) }
    }
    let tower = try openCheckpoint(Fixture.path("plain_heads.tower.safetensors"))
    #expect(throws: OspreyError.notFound(what: "mask extractor", path: tower.path)) {
      _ = try Osprey(
        configuration: Fixture.path("plain_heads.config.json"), tokenizer: Fixture.path("tokenizer.model"),
        weights: tower)
    }
    // The grouped model's weights under the other's configuration.
    #expect(throws: OspreyError.self) {
      _ = try Osprey(
        configuration: Fixture.path("plain_heads.config.json"), tokenizer: Fixture.path("tokenizer.model"),
        weights: openCheckpoint(Fixture.path("grouped.safetensors")), visionTower: tower)
    }
    #expect(throws: OspreyError.self) {
      _ = try Osprey(
        configuration: Fixture.path("tokenizer.model"), tokenizer: Fixture.path("tokenizer.model"), weights: tower)
    }
  }
}
