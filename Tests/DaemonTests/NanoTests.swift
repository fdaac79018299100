import Foundation
import Imaging
import Testing
import Wire

@testable import Daemon

/// The embedded model through the one path that the command line and the daemon take.
@Suite struct NanoTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  private let catalog = ModelCatalog(root: repository.appendingPathComponent("Models").path)

  private func picture(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: Self.repository.appendingPathComponent("Examples/\(name)")))
  }

  @Test func itsFilesAreThoseOfItsManifest() throws {
    let model = try catalog.find(ModelCatalog.defaultName)
    #expect(try model.missing.isEmpty)
    for file in model.manifest.files { #expect(try FileDigest.sha256(path: model.path(file.path)) == file.sha256) }
    // The repository's promise: at most 40 MB.
    #expect(model.manifest.files.compactMap(\.size).reduce(0, +) <= 40_000_000)
  }

  @Test func aClickBecomesAMaskAndWords() throws {
    let start = ContinuousClock.now
    let loader = ModelLoader(catalog: catalog)
    let pipeline = Pipeline(segmenter: try loader.segmentEngine(), labeler: try loader.labelEngine())
    let ready = start.duration(to: .now)
    // Alone it takes a tenth of a second (`pandion doctor` says); here other tests compute beside it.
    #expect(ready < .seconds(10), "a cold start took \(ready)")
    let image = ImageReference.blob(index: 0, encoding: .jpeg, raw: nil)
    let prompts = [WirePrompt(points: [.init(x: 439, y: 116)], pointLabels: [1])]
    let request = Request(.label(LabelRequest(image: image, regions: .prompts(prompts, multimask: false))), id: "1")
    let reply = pipeline.perform(request, blobs: [try picture("desk.jpg")])
    #expect(reply.error == nil)
    let mask = try #require(reply.header["masks"]?[0])
    #expect((mask["area"]?.integer ?? 0) > 0)
    #expect(mask["label"]?.string?.isEmpty == false)
    // Greedy decoding: the same again.
    #expect(pipeline.perform(request, blobs: [try picture("desk.jpg")]).header["masks"] == reply.header["masks"])
  }

  @Test func aFolderIsAsGoodAsItsName() throws {
    let folder = try catalog.find(ModelCatalog.defaultName).folder
    let loader = ModelLoader(catalog: ModelCatalog(root: "/nowhere"))
    #expect(try loader.segmenter(folder).imageSize == ModelLoader(catalog: catalog).segmenter().imageSize)
    #expect(try loader.segmentEngine(folder).model.name == ModelCatalog.defaultName)
    #expect(try loader.labelEngine(folder).model.name == ModelCatalog.defaultName)
  }

  @Test func aModelFileCutInHalfIsNamed() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let original = URL(fileURLWithPath: try catalog.find(ModelCatalog.defaultName).folder)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(at: original, to: folder.appendingPathComponent(ModelCatalog.defaultName))
    let path = folder.appendingPathComponent("\(ModelCatalog.defaultName)/segmenter.safetensors")
    let bytes = try Data(contentsOf: path)
    try bytes.prefix(bytes.count / 2).write(to: path)
    let cut = ModelCatalog(root: folder.path)
    #expect(try cut.find(ModelCatalog.defaultName).missing == ["segmenter.safetensors"])
    #expect {
      try ModelLoader(catalog: cut).segmenter()
    } throws: {
      "\($0)".contains("segmenter.safetensors is cut short")
    }
  }

  @Test func errorsNameTheModel() {
    #expect(throws: ModelError.unknown(name: "nope", known: catalog.names)) { try catalog.find("nope") }
    #expect(throws: ModelError.hasNo(part: "labeler", name: "sam-vit-b")) {
      try ModelLoader(catalog: catalog).labeler("sam-vit-b")
    }
    #expect(throws: ModelError.incomplete(name: "sam-vit-b", missing: ["sam_vit_b_01ec64.pth"])) {
      try ModelLoader(catalog: catalog).segmenter("sam-vit-b")
    }
  }
}
