import Foundation
import Imaging
import Masks
import Synchronization
import Testing
import Wire

@testable import Daemon

/// The embedded labeler behind the real sockets.
@Suite(.serialized) struct LanguageTests {
  /// A daemon with nano's labeler and no segmenter.
  private final class Rig: Sendable {
    let server: Server
    let picture: [UInt8]
    var endpoint: String { server.endpoints[0] }

    init() throws {
      let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
      let loader = ModelLoader(catalog: ModelCatalog(root: repository.appendingPathComponent("Models").path))
      picture = [UInt8](try Data(contentsOf: repository.appendingPathComponent("Examples/desk.jpg")))
      let configuration = Configuration(
        endpoints: ["tcp://127.0.0.1:*"], controlEndpoints: ["tcp://127.0.0.1:*"])
      server = try Server(configuration, Pipeline(segmenter: nil, labeler: try loader.labelEngine()))
      try server.start()
    }

    func ask(_ masks: [GivenMask], id: String? = nil, _ change: (inout LabelRequest) -> Void = { _ in }) throws -> Reply
    {
      var request = LabelRequest(image: .blob(index: 0, encoding: .jpeg, raw: nil), regions: .masks(masks))
      request.masks = .none
      change(&request)
      return try Client(endpoint: endpoint).send(Request(.label(request), id: id), blobs: [picture])
    }

    func control(_ operation: Request.Operation) throws -> JSONValue {
      try Client(endpoint: server.controlEndpoints[0]).send(Request(operation)).header
    }

    func stop() throws {
      server.drain()
      try server.wait()
    }
  }

  /// A rectangle of the 512×512 picture.
  private static func mask(_ x: Int, _ y: Int, _ width: Int, _ height: Int) -> GivenMask {
    var mask = BitMask(width: 512, height: 512)
    for row in y..<min(512, y + height) { for column in x..<min(512, x + width) { mask[column, row] = true } }
    return GivenMask(height: 512, width: 512, counts: .compressed(RunLengthEncoding(mask).compressed))
  }

  private static let fifty = (0..<50).map { mask($0 * 83 % 400, $0 * 57 % 400, 40 + $0 * 13 % 70, 40 + $0 * 29 % 70) }

  private static func words(_ mask: JSONValue?) -> String { mask?["label"]?.string ?? "(none)" }

  private static func isClose(_ a: JSONValue?, _ b: JSONValue?) -> Bool {
    guard let a = a?["evidence"]?["log_probability"]?.double, let b = b?["evidence"]?["log_probability"]?.double else {
      return false
    }
    return abs(a - b) < 1e-4
  }

  @Test func fiftyRegionsTogetherAreFiftyCallsOfSeveralClients() throws {
    let rig = try Rig()
    let clock = ContinuousClock()
    var together: Reply?
    let batch = try clock.measure { together = try rig.ask(Self.fifty) }
    let masks = try #require(together?.header["masks"]?.array)
    #expect(masks.count == 50 && masks.allSatisfy { $0["label"]?.string?.isEmpty == false })
    // Four clients at once, each asking for one after the other, drawn out by somebody who asks for all.
    let wrong = Atomic<Int>(0)
    let singles = clock.measure {
      DispatchQueue.concurrentPerform(iterations: 5) { client in
        do {
          if client == 4 {
            let all = try rig.ask(Self.fifty).header["masks"]?.array ?? []
            if all.map(Self.words) != masks.map(Self.words) { wrong.add(100, ordering: .relaxed) }
            return
          }
          for i in stride(from: client, to: 50, by: 4) {
            let alone = try rig.ask([Self.fifty[i]]).header["masks"]?[0]
            let isSame = Self.words(alone) == Self.words(masks[i]) && Self.isClose(alone, masks[i])
            if !isSame { wrong.add(1, ordering: .relaxed) }
          }
        } catch { wrong.add(1000, ordering: .relaxed) }
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
    let stats = try rig.control(.stats)
    #expect(stats["prefix"]?["computed"] == .integer(1) && stats["prefix"]?["reused"] == .integer(51))
    #expect(stats["prefix"]?["held"] == .integer(1) && stats["prefix"]?["evicted"] == .integer(0))
    #expect(stats["decoder"]?["sequences"] == .integer(150))
    print("50 regions in one request: \(batch); 50 and 50 more by five clients: \(singles)")
    try rig.stop()
  }

  @Test func evidenceTellsWhatWordsRestOn() throws {
    let rig = try Rig()
    var mask = Self.mask(100, 100, 200, 150)
    mask.kept = [.predictedIoU: .number(0.75), .stabilityScore: .number(0.5)]
    let reply = try rig.ask([mask])
    let words = try #require(reply.header["masks"]?[0])
    let evidence = try #require(words["evidence"])
    #expect(evidence["prompt"] == .string("osprey_v1/short"))
    #expect(
      evidence["question"]
        == .string("Please give me a short description of <mask><pos>. Using a short phrase."))
    let score = try #require(words["score"]?.double)
    #expect(abs(log(score) - (evidence["log_probability"]?.double ?? 0)) < 1e-4)
    for level in ["res2", "res3", "res4", "res5"] { #expect((evidence["cells"]?[level]?.integer ?? 0) > 0) }
    #expect(evidence["empty_levels"] == .array([]) && evidence["vanished"] == nil && evidence["sampling"] == nil)
    #expect(evidence["predicted_iou"] == .number(0.75) && evidence["stability_score"] == .number(0.5))
    #expect(evidence["model"]?["name"] == .string("pandion-nano"))
    #expect(evidence["model"]?["sha256"]?["labeler.safetensors"]?.string?.count == 64)
    #expect(evidence["quantization"]?.string?.isEmpty == false && evidence["kv_cache"] == .string("fp32"))

    let detailed = try rig.ask([mask]) { $0.style = .detailed }.header["masks"]?[0]
    #expect(detailed?["label"] == words["label"] && detailed?["description"]?.string?.isEmpty == false)
    #expect(
      detailed?["evidence"]?["description"]?["question"]
        == .string("Can you give me a detailed description of <mask><pos>?"))
    try rig.stop()
  }

  @Test func aMaskThatNoLevelSeesIsNotGuessedAt() throws {
    let rig = try Rig()
    let reply = try rig.ask([Self.mask(0, 0, 1, 1), Self.mask(100, 100, 90, 90)])
    let vanished = try #require(reply.header["masks"]?[0])
    #expect(vanished["label"] == .string("") && vanished["score"] == nil)
    #expect(vanished["evidence"]?["vanished"] == .bool(true))
    #expect(vanished["evidence"]?["empty_levels"]?.array?.count == 4)
    #expect(
      vanished["evidence"]?["reason"]
        == .string("the mask is too small or too thin to be seen at any level of the labeler's features"))
    #expect(reply.header["masks"]?[1]?["label"]?.string?.isEmpty == false)
    let chosen = try rig.ask([Self.mask(0, 0, 1, 1)]) { $0.vocabulary = ["cup", "car"] }
    #expect(chosen.header["masks"]?[0]?["evidence"]?["vanished"] == .bool(true))
    let question = "What is between <region1> and <region2>?"
    let asked = try rig.ask([Self.mask(0, 0, 1, 1), Self.mask(100, 100, 90, 90)]) { $0.question = question }
    #expect(asked.header["answer"]?["text"] == .string(""))
    #expect(asked.header["answer"]?["evidence"]?["regions"]?[0]?["vanished"] == .bool(true))
    #expect(asked.header["answer"]?["evidence"]?["regions"]?[1]?["vanished"] == nil)
    try rig.stop()
  }

  @Test func questionsFollowOnEarlierOnes() throws {
    let rig = try Rig()
    let masks = Array(Self.fifty.prefix(4))
    let several = try rig.ask(masks) {
      $0.question = "Is <region4> left of <region2>?"
      $0.history = [.init(question: "What is <region2>?", answer: "a cup")]
      $0.maxTokens = 8
    }
    let answer = try #require(several.header["answer"])
    #expect(several.error == nil && answer["score"]?.double != nil)
    #expect(answer["evidence"]?["regions"]?.array?.map { $0["mask"]?.integer } == [1, 3])
    #expect(answer["evidence"]?["question"] == .string("Is <mask><pos> left of <mask><pos>?"))
    #expect(several.header["masks"]?.array?.count == 4 && several.header["masks"]?[0]?["label"] == nil)

    let each = try rig.ask(masks) {
      $0.question = "And its colour?"
      $0.history = [.init(question: "What is <mask>?", answer: "a cup")]
      $0.maxTokens = 4
    }
    #expect(each.header["answer"] == nil && each.header["masks"]?.array?.count == 4)
    #expect(each.header["masks"]?[3]?["evidence"]?["question"] == .string("And its colour?"))
    #expect(each.header["masks"]?[3]?["evidence"]?["prompt"] == .string("osprey_v1/free"))

    func refusal(_ change: (inout LabelRequest) -> Void) throws -> String {
      let error = try #require(try rig.ask(masks, change).error)
      return "\(error)"
    }
    #expect(
      try refusal { $0.question = "<region5>?" }
        == "bad_request: question names <region5>, but there are 4 masks, counted from 1")
    #expect(
      try refusal { $0.question = "<region1> <mask>" }
        == "bad_request: question has both <mask> and <regionN>; use one of them")
    #expect(
      try refusal {
        $0.question = "Why?"
        $0.history = Array(repeating: .init(question: "a", answer: String(repeating: "b c ", count: 1000)), count: 16)
      }.hasPrefix("too_large: question: the prompt has "))
    try rig.stop()
  }

  @Test func drawnWordsRepeat() throws {
    let rig = try Rig()
    let masks = Array(Self.fifty.prefix(12))
    func draw(_ masks: [GivenMask], _ seed: Int?) throws -> [JSONValue] {
      let reply = try rig.ask(masks) {
        ($0.temperature, $0.topP, $0.seed) = (1.5, 0.95, seed)
      }
      return reply.header["masks"]?.array ?? []
    }
    let drawn = try draw(masks, 5)
    #expect(try draw(masks, 5).map(Self.words) == drawn.map(Self.words))
    #expect(try draw([masks[7]], 5).map(Self.words) == [Self.words(drawn[7])])
    #expect(try draw(masks, 6).map(Self.words) != drawn.map(Self.words))
    let sampling = drawn[0]["evidence"]?["sampling"]
    #expect(sampling?["temperature"] == .number(1.5) && sampling?["top_p"] == .number(0.95))
    #expect(sampling?["seed"] == .integer(5))
    // Without a seed there is one all the same, so that the words can be had again.
    let own = try draw(masks, nil)
    let seed = try #require(own[0]["evidence"]?["sampling"]?["seed"]?.integer)
    #expect(try draw(masks, seed).map(Self.words) == own.map(Self.words))
    try rig.stop()
  }

  @Test func aCancelledRequestLeavesTheOthersAlone() throws {
    let rig = try Rig()
    let expected = try rig.ask(Array(Self.fifty.prefix(8))).header["masks"]?.array?.map(Self.words)
    let many = (0..<40).flatMap { _ in Self.fifty }
    let outcome = Mutex<[String: String]>([:])
    DispatchQueue.concurrentPerform(iterations: 3) { client in
      do {
        switch client {
        case 0:
          let reply = try rig.ask(many, id: "long") { $0.style = .detailed }
          outcome.withLock { $0["long"] = reply.error?.code.rawValue ?? "answered" }
        case 1:
          let words = try rig.ask(Array(Self.fifty.prefix(8))).header["masks"]?.array?.map(Self.words)
          outcome.withLock { $0["beside"] = words == expected ? "same" : "other" }
        default:
          while try rig.control(.cancel(request: "long"))["cancelled"] != .integer(1) { usleep(5000) }
        }
      } catch { outcome.withLock { $0["error"] = "\(error)" } }
    }
    #expect(outcome.withLock { $0 } == ["long": "cancelled", "beside": "same"])
    try rig.stop()
  }
}
