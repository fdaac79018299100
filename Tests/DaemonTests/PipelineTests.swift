import Foundation
import Imaging
import Masks
import Osprey
import Testing
import Wire

@testable import Daemon

@Suite struct PipelineTests {
  private let segmenter = FakeSegmenter()
  private let labeler = FakeLabeler()
  private let image = ImageReference.blob(index: 0, encoding: .png, raw: nil)

  private var pipeline: Pipeline { Pipeline(segmenter: segmenter, labeler: labeler) }

  private func prompt(_ x: Float, _ y: Float) -> WirePrompt {
    WirePrompt(points: [Point(x: x, y: y)], pointLabels: [1])
  }

  private func segment(_ masks: MaskEncoding, logits: Bool = false) throws -> Reply {
    var request = SegmentRequest(image: image, prompts: [prompt(16, 12)])
    (request.masks, request.logits) = (masks, logits)
    return pipeline.perform(Request(.segment(request), id: "s"), blobs: [try Pictures.png()])
  }

  @Test func raggedPromptsComeInOneList() throws {
    var request = SegmentRequest(image: image, prompts: [prompt(8, 8), prompt(20, 12)])
    request.multimask = true
    let reply = pipeline.perform(Request(.segment(request), id: "s"), blobs: [try Pictures.png()])
    let masks = try #require(reply.header["masks"]?.array)
    #expect(masks.map { $0["prompt"]?.integer } == [0, 0, 0, 1, 1, 1])
    #expect(masks.map { $0["id"]?.integer } == [0, 1, 2, 3, 4, 5])
    #expect(masks[0]["bbox"] == .array([6, 6, 3, 3].map { .integer($0) }))
    #expect(masks[0]["area"] == .integer(16))
    #expect(masks[0]["predicted_iou"] == .number(0.5))
    #expect(masks[0]["label"] == nil)
    // Parts name their wholes.
    #expect(masks[0]["parent"] == .integer(1) && masks[1]["parent"] == .integer(2) && masks[2]["parent"] == .null)
  }

  @Test func everyEncodingGivesTheSameMask() throws {
    let expected = square(16, 12, 2)
    let rle = try segment(.cocoRLE).header["masks"]?[0]?["segmentation"]
    #expect(rle?["counts"] == .string(expected.compressed))
    #expect(rle?["size"] == .array([.integer(24), .integer(32)]))
    let raw = try segment(.cocoRLERaw).header["masks"]?[0]?["segmentation"]
    #expect(raw?["counts"] == .array(expected.counts.map { .integer($0) }))
    #expect(try segment(.none).header["masks"]?[0]?["segmentation"] == nil)
    let polygon = try segment(.polygon).header["masks"]?[0]?["segmentation"]?.array
    #expect(polygon?.count == 1)
    let png = try segment(.png)
    #expect(png.blobs.count == 3 && png.header["masks"]?[2]?["segmentation"]?["blob"] == .integer(2))
    let decoded = try Image.decode(png.blobs[0])
    #expect((0..<32 * 24).allSatisfy { decoded.pixels[3 * $0] == (expected.bitMask().bits[$0] == 0 ? 0 : 255) })
    let map = try segment(.labelMap)
    #expect(map.header["label_map"]?["blob"] == .integer(0) && map.blobs[0].count == 2 * 32 * 24)
    // The smallest of the three lies on top.
    #expect(map.blobs[0][2 * (12 * 32 + 16)] == 1 && map.header["masks"]?[0]?["value"] == .integer(1))
  }

  @Test func logitsComeAsBlobs() throws {
    let reply = try segment(.none, logits: true)
    #expect(reply.header["masks"]?[1]?["logits"]?["blob"] == .integer(1))
    #expect(reply.header["masks"]?[1]?["logits"]?["shape"] == .array([.integer(1), .integer(2)]))
    #expect(reply.blobs[1] == [0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0])
  }

  @Test func labelsOfGivenMasksNeedNoSegmenter() throws {
    let auto = pipeline.perform(Request(.auto(AutoRequest(image: image))), blobs: [try Pictures.png()])
    let masks = try #require(auto.header["masks"])
    // What `auto --json` prints feeds `label`.
    let given = try GivenMask.list(masks.serialized())
    let request = LabelRequest(image: image, regions: .masks(given))
    let alone = Pipeline(segmenter: nil, labeler: labeler)
    let reply = alone.perform(Request(.label(request)), blobs: [try Pictures.png()])
    #expect(reply.header["masks"]?.array?.map { $0["label"]?.string } == ["area 16", "area 100", "area 256"])
    #expect(reply.header["masks"]?[1]?["predicted_iou"] == masks[1]?["predicted_iou"])
    #expect(reply.header["masks"]?[1]?["segmentation"] == masks[1]?["segmentation"])
  }

  @Test func labellingEverythingKeepsTheBest() throws {
    var parameters = AutomaticParameters()
    parameters.maxMasks = 2
    let request = LabelRequest(image: image, regions: .auto(parameters))
    let reply = pipeline.perform(Request(.label(request)), blobs: [try Pictures.png()])
    #expect(reply.header["masks"]?.array?.map { $0["label"]?.string } == ["area 16", "area 100"])
  }

  @Test func anEmptyMaskIsNotGuessedAt() throws {
    let given = GivenMask(height: 24, width: 32, counts: .raw([24 * 32]))
    let reply = pipeline.perform(
      Request(.label(LabelRequest(image: image, regions: .masks([given])))), blobs: [try Pictures.png()])
    #expect(reply.header["masks"]?[0]?["label"] == .string(""))
    #expect(reply.header["masks"]?[0]?["evidence"]?["empty"] == .bool(true))
  }

  @Test func whatIsMissingIsNamed() throws {
    let nothing = Pipeline(segmenter: nil, labeler: nil)
    let png = try Pictures.png()
    let segment = nothing.perform(
      Request(.segment(SegmentRequest(image: image, prompts: [prompt(1, 1)]))), blobs: [png])
    #expect(segment.error?.code == .modelUnavailable)
    let label = nothing.perform(
      Request(.label(LabelRequest(image: image, regions: .prompts([prompt(1, 1)], multimask: false)))), blobs: [png])
    #expect(label.error == WireError(.modelUnavailable, "op 'label' needs a labeler, and none is loaded"))
  }

  @Test func repliesAreDeterministicAndCopyTheStamp() throws {
    var request = Request(.segment(SegmentRequest(image: image, prompts: [prompt(16, 12)])), id: "s")
    request.stamp = JSONValue(entries: [("sec", .integer(5)), ("nanosec", .integer(6))])
    request.frameID = "camera"
    let first = pipeline.perform(request, blobs: [try Pictures.png()])
    #expect(first.frames == pipeline.perform(request, blobs: [try Pictures.png()]).frames)
    #expect(first.header["stamp"] == request.stamp && first.header["frame_id"] == .string("camera"))
  }
}

@Suite struct PartsTests {
  /// `printf '2x1\n\1\2\3\4\5\6' | sha256sum`, so that clients can name pictures themselves.
  @Test func aPictureIsNamedByItsSizeAndPixels() {
    let image = Image(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6])
    #expect(Picture.handle(of: image) == "sha256:7819e9ad0fc64529a16d644e6593057123d1e3f2e3ffc355886c6a75719cca5a")
  }

  @Test func theStoreLetsGoOfWhatWasUsedLongestAgo() {
    func image(_ value: UInt8) -> Image { Image(width: 10, height: 10, pixels: Array(repeating: value, count: 300)) }
    let store = PictureStore(capacity: 3, bytes: 1000)
    let handles = (0..<3).map { store.add(image(UInt8($0))).handle }
    #expect(store.usage.count == 3)
    #expect(store.find(handles[0]) != nil)
    _ = store.add(image(9))
    #expect(store.find(handles[0]) != nil && store.find(handles[1]) == nil && store.find(handles[2]) != nil)
    #expect(store.usage.bytes <= 1000)
  }

  @Test func aPartHasTheSmallestWhole() throws {
    let masks = [square(16, 12, 2), square(16, 12, 8), square(16, 12, 4), square(4, 4, 2), square(16, 12, 8)]
    #expect(try containingMasks(masks) == [2, nil, 1, nil, nil])
    #expect(square(16, 12, 2).intersection(square(17, 12, 2)) == 12)
  }

  /// There may be hundreds of masks, of a picture of many megapixels.
  @Test func cancelEndsTheWritingOfMasks() throws {
    let pipeline = Pipeline(segmenter: nil, labeler: nil)
    let request = try Request(
      header: Array(#"{"v":1,"op":"segment","image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[1,1]]}]}"#.utf8),
      blobs: 1)
    let job = Job(request, blobs: [])
    job.picture = pipeline.pictures.add(Pictures.image, isFrame: false)
    job.regions = [Region(FoundMask(mask: square(16, 12, 3)))]
    #expect(try pipeline.masksReply(job, .png).error == nil)
    job.cancel()
    let error = #expect(throws: WireError.self) { try pipeline.masksReply(job, .png) }
    #expect(error?.code == .cancelled)
  }

  @Test func whatTakesLongHasItsOwnLane() throws {
    func lane(_ fields: String, prompts: Int) throws -> Lane {
      let points = Array(repeating: #"{"points":[[1,1]],"point_labels":[1]}"#, count: prompts).joined(separator: ",")
      let header = #"{"v":1,"op":"segment","image":{"blob":0,"encoding":"png"},"prompts":[\#(points)]\#(fields)}"#
      return Lane(.segment, Job(try Request(header: Array(header.utf8), blobs: 1), blobs: []))
    }
    #expect(try lane("", prompts: 64) == .segment && lane("", prompts: 65) == .automatic)
    #expect(try lane(#","masks":"png""#, prompts: 8) == .segment && lane(#","masks":"png""#, prompts: 9) == .automatic)
  }

  @Test func aQuestionAboutAMaskNamesIt() {
    func asked(_ question: String, _ history: [String] = []) -> Question {
      var wish = WordsWish(style: .short, question: question)
      wish.history = history.map { .init(question: $0, answer: "<mask>") }
      return OspreyEngine.perMask(wish)
    }
    #expect(asked("What is <mask>?").asRead == "What is <mask><pos>?")
    #expect(asked("What is <mask><pos>?").asRead == "What is <mask><pos>?")
    #expect(asked("What is it made of?").asRead == "What is it made of? <mask><pos>")
    let following = asked("And its colour?", ["What is <mask>?"])
    #expect(following.asRead == "And its colour?")
    #expect(following.history == [.init(question: "What is <region1>?", answer: "<mask>")])
  }

  @Test func aRuntimeFolderThatOthersMayEnterIsRefused() throws {
    let base = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-runtime-\(getpid())").path
    try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: base) }
    let path = try RuntimeFolder.make(environment: ["XDG_RUNTIME_DIR": base])
    #expect(path == "\(base)/pandion")
    chmod(path, 0o755)
    #expect(
      throws: DaemonError.runtimeFolder(
        path: path, reason: "others may enter it; sockets lie in a folder for their owner alone, of mode 0700")
    ) { try RuntimeFolder.make(environment: ["XDG_RUNTIME_DIR": base]) }
  }
}
