import Foundation
import Masks
import Synchronization
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// What comes from a worker's socket is no more to be trusted than what comes from a client's.
@Suite struct HostileWorkerTests {
  private static let segmentation = #""segmentation":{"size":[24,32],"counts":"\#(square(16, 12, 2).compressed)"}"#

  /// Bodies of results that are none, with blobs.
  private static let wrong: [(body: String, blobs: [[UInt8]])] = [
    ("", []), ("[", []), ("{}", []), (#"{"masks":7}"#, []), (#"{"masks":[]}"#, []), (#"{"masks":[[7]]}"#, []),
    (#"{"masks":[[],[]]}"#, []), (#"{"masks":[[{"segmentation":{"size":[24,32],"counts":"zzz"}}]]}"#, []),
    (#"{"masks":[[{"segmentation":{"size":[48,64],"counts":"PP1"}}]]}"#, []),
    (#"{"masks":[[{"segmentation":{"size":[9223372036854775807,9223372036854775807],"counts":"0"}}]]}"#, []),
    (#"{"masks":[[{"segmentation":{"size":[-1,32],"counts":"0"}}]]}"#, []),
    (#"{"masks":[[{\#(segmentation),"logits":{"blob":0,"shape":[1,2]}}]]}"#, []),
    (#"{"masks":[[{\#(segmentation),"logits":{"blob":0,"shape":[1,2]}}]]}"#, [[1, 2, 3]]),
    (#"{"masks":[[{\#(segmentation),"logits":{"blob":-1,"shape":[1,2]}}]]}"#, [[1]]),
    (#"{"masks":[[{\#(segmentation),"logits":{"blob":0,"shape":[16384,16384]}}]]}"#, [[0, 0, 0, 0]]),
    (#"{"masks":[[{\#(segmentation),"logits":{"blob":0,"shape":[1,1]}}]]}"#, [[0, 0, 0xC0, 0x7F]]),
    (String(repeating: "[", count: 100_000), []),
    // Three masks were asked for, and not none or seven.
    (#"{"masks":[[]]}"#, []), (list(2), []), (list(7), []),
    (list(3, #","predicted_iou":-7e30"#), []), (list(3, #","stability_score":55"#), []),
    (list(3, #","crop_box":[-5,9,1000000000000000,-1]"#), []), (list(3, #","crop_box":[0,0,33,24]"#), []),
    (list(3, #","crop_box":[0,0,32]"#), []), (list(3, #","point_coords":[[-60000,60000]]"#), []),
    (list(3, #","point_coords":[[1]]"#), []),
  ]

  private static func list(_ count: Int, _ more: String = "") -> String {
    #"{"masks":[[\#(Array(repeating: "{\(segmentation)\(more)}", count: count).joined(separator: ","))]]}"#
  }

  @Test(arguments: wrong.indices) func aResultThatIsNoneIsAnInternalError(_ index: Int) throws {
    let rig = try WorkerRig()
    let worker = try rig.scripted("odd")
    let client = try rig.client()
    try askForMasks(client, "1")
    let look = try worker.takeJob()
    try worker.say(.result(ticket: look.ticket, StageResult()))
    let job = try worker.takeJob()
    let (body, blobs) = Self.wrong[index]
    try worker.say(.result(ticket: job.ticket, StageResult(body: Array(body.utf8), blobs: blobs)))
    let reply = try Rig.header(client)
    #expect(reply["error"]?["code"] == .string("internal"), "\(body.prefix(200))")
    try rig.stop()
  }

  /// A partial that is none, and one that nobody asked for: the client gets one final error, the next worker's client what it asks for.
  @Test(arguments: ["", "{", "{}", #"{"masks":[[7]]}"#, #"{"masks":[[{\#(segmentation)}]]}"#], [true, false])
  func aPartialThatIsNoneIsAnInternalError(_ body: String, streams: Bool) throws {
    let isRight = body.contains("counts")
    let rig = try WorkerRig()
    let odd = try rig.scripted("odd", credit: [.segment: 1, .automatic: 1])
    let client = try rig.client()
    let header = #"{"v":1,"op":"auto","id":"1","image":{"blob":0,"encoding":"png"},"stream":\#(streams)}"#
    try client.send([Array(header.utf8), Pictures.png()])
    var job = try odd.takeJob()
    if case .segment = job.lane {
      try odd.say(.result(ticket: job.ticket, StageResult()))
      job = try odd.takeJob()
    }
    try odd.say(.partial(ticket: job.ticket, body: Array(body.utf8)))
    if isRight { try odd.say(.result(ticket: job.ticket, StageResult(body: Array(#"{"masks":[]}"#.utf8)))) }
    var reply = try Rig.header(client)
    if streams, isRight {
      #expect(reply["final"] == .bool(false) && reply["masks"]?.array?.count == 1)
      reply = try Rig.header(client)
    }
    #expect(reply["final"] == .bool(true))
    #expect((reply["error"]?["code"] == .string("internal")) == !(streams && isRight), "\(reply)")
    #expect(throws: ZeroMQError.self) { try client.receive(timeout: 100) }
    try rig.stop()
  }

  @Test func strangersAndGarbageDoNotDisturb() throws {
    let rig = try WorkerRig()
    let worker = try rig.worker("well")
    let stranger = try Socket(rig.context, .dealer)
    try stranger.connect(rig.pool.boundEndpoints[0])
    let heads = [
      "", "{", "[]", "null", #"{"type":7}"#, #"{"type":"result"}"#, #"{"type":"result","ticket":-1}"#,
      #"{"type":"result","ticket":1}"#, #"{"type":"bye"}"#, #"{"type":"heartbeat","progress":1e99}"#,
      #"{"type":"ready"}"#, #"{"type":"ready","v":1}"#, #"{"type":"ready","v":2}"#,
      #"{"type":"ready","v":1,"stage":"language","name":"x","model":{"name":"a","role":"b","architecture":"c"},"credit":{"language":1}}"#,
      #"{"type":"ready","v":1,"stage":"segment","name":"x","model":{"name":"a","role":"b","architecture":"c"},"credit":{"segment":1000000}}"#,
      #"{"type":"ready","v":1,"stage":"segment","name":"x y\n","model":{"name":"a","role":"b","architecture":"c"},"credit":{"segment":1}}"#,
      String(repeating: "{\"type\":", count: 5000),
    ]
    for head in heads { try stranger.send([Array(head.utf8), [1, 2, 3]]) }
    try stranger.send((0..<5000).map { _ in [] })
    // Another model than the one that serves.
    let other = ModelDescription(name: "other", role: "segmenter", architecture: "square")
    let ready = WorkerReady(stage: .segment, name: "other", model: other, credit: [.segment: 1])
    try stranger.send(MessageFromWorker.ready(ready).frames)
    var answers: [MessageToWorker] = []
    while true {
      let answer = try #require(MessageToWorker(try stranger.receive(timeout: 10_000).frames))
      answers.append(answer)
      if case .refused(let reason) = answer, reason.contains("other") { break }
      if answers.count > 100 { break }
    }
    for answer in answers {
      if case .job = answer { Issue.record("a stranger got a job") }
      if case .alive = answer { Issue.record("a stranger was taken") }
    }
    let client = try rig.client()
    try askForMasks(client, "1")
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    let stats = try rig.stats()
    #expect(stats["segment"] == .integer(1) && (stats["strange"]?.integer ?? 0) > 8)
    #expect(worker.leave())
    try rig.stop()
  }

  @Test func oneThatAlwaysWantsMoreIsGivenUp() throws {
    let rig = try WorkerRig()
    let greedy = try rig.scripted("greedy")
    let client = try rig.client()
    try askForMasks(client, "1")
    let job = try greedy.takeJob()
    #expect(job.attachment != nil)
    try greedy.say(.missing(ticket: job.ticket))
    guard case .again = try greedy.hear() else { throw ScriptedWorker.Surprise() }
    // One that comes in anew again and again with its job undone does not keep it for ever.
    for _ in 0..<7 {
      try greedy.introduce()
      _ = try greedy.takeJob()
    }
    try greedy.introduce()
    #expect(try Rig.header(client)["error"]?["code"] == .string("internal"))
    #expect(try rig.stats()["lost"] == .integer(1))
    try rig.stop()
  }

  @Test func oneThatSendsWithoutEndIsBounded() {
    let attachment = StageAttachment(handle: "h", width: 1, height: 1, content: .picture(.rgb8), bytes: [])
    let call = StageCall(.language, Request(.hello), about: attachment)
    for _ in 0..<70 { call.add(partial: [UInt8](repeating: 0, count: 1 << 20)) }
    #expect(throws: WireError(.internal, "a worker of stage 'language' sends without end")) {
      try call.wait(isCancelled: { false }, partial: { _ in })
    }
  }

  /// Changed bytes of every message, both ways: each is read or refused.
  @Test func noMessageTraps() {
    let attachment = StageAttachment(
      handle: "sha256:x", width: 2, height: 3, content: .tokens(rows: 2, columns: 2),
      bytes: [UInt8](repeating: 1, count: 16))
    let job = StageJobMessage(
      ticket: 7, lane: .language, body: Array("{}".utf8), blobs: [[1, 2]], attachment: attachment)
    let model = ModelDescription(name: "n", role: "labeler", architecture: "a", digests: ModelDigests([("f", "0")]))
    let ready = WorkerReady(stage: .language, name: "w", model: model, credit: [.language: 4])
    let messages: [[[UInt8]]] =
      [
        .ready(ready), .heartbeat(progress: 9), .partial(ticket: 1, body: [1]), .result(ticket: 2, StageResult()),
        .failed(ticket: 3, WireError(.internal, "x")), .missing(ticket: 4), .bye,
      ].map { (message: MessageFromWorker) in message.frames }
      + [.job(job), .cancel(ticket: 3), .alive, .again, .refused("no"), .stop].map { (message: MessageToWorker) in
        message.frames
      }
    for frames in messages {
      #expect((MessageFromWorker(frames) == nil) != (MessageToWorker(frames) == nil))
    }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var frames = messages.randomElement(using: &random) ?? []
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        guard let frame = frames.indices.randomElement(using: &random) else { break }
        switch Int.random(in: 0..<4, using: &random) {
        case 0: frames.remove(at: frame)
        case 1: frames.insert(frames[frame], at: frame)
        case 2: frames[frame] = Array(frames[frame].prefix(Int.random(in: 0...frames[frame].count, using: &random)))
        default:
          if let at = frames[frame].indices.randomElement(using: &random) { frames[frame][at] = .random(in: 0...255) }
        }
      }
      _ = MessageFromWorker(frames)
      _ = MessageToWorker(frames)
    }
  }

  /// What a worker of stage "extract" sends of regions, and one of stage "language" of words.
  @Test func tokensAndWordsAreChecked() throws {
    func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }
    let good = #"{"regions":[{"mask":0,"levels":[{"level":"res2","cells":3}]}],"tokens":{"blob":0,"shape":[1,2,2]}}"#
    let sent = try #require(SentRegions(try json(good), blobs: [[UInt8](repeating: 0, count: 16)]))
    #expect(try sent.tokens(width: 2)[0]?.levels.first?.cells == 3)
    #expect(sent.areRegions(of: 1) && !sent.areRegions(of: 2))
    for (part, wrong) in [
      (#""mask":0"#, #""mask":-1"#), (#""mask":0"#, #""mask":1"#), (#""cells":3"#, #""cells":-5"#),
      (#""level":"res2""#, #""level":7"#), (#""levels""#, #""level""#),
    ] {
      let text = good.replacing(part, with: wrong)
      #expect(
        SentRegions(try json(text), blobs: [[UInt8](repeating: 0, count: 16)])?.areRegions(of: 1) == false, "\(text)")
    }
    #expect(throws: WireError.self) { try sent.tokens(width: 3) }
    for blobs: [[UInt8]] in [[], [[1]]] { #expect(SentRegions(try json(good), blobs: blobs) == nil) }
    let notFinite = try #require(SentRegions(try json(good), blobs: [[UInt8](repeating: 0xFF, count: 16)]))
    #expect(throws: WireError.self) { try notFinite.tokens(width: 2) }
    for shape in ["[1,2,-2]", "[2,2,1]", "[1,1,4]", "[1,2,9223372036854775807]", "[]", "7"] {
      let text = good.replacing("[1,2,2]", with: shape)
      #expect(SentRegions(try json(text), blobs: [[UInt8](repeating: 0, count: 16)]) == nil, "\(shape)")
    }
    #expect(Words(try json(#"{"label":7}"#)) == nil)
    #expect(Words(try json(#"{"label":"a","evidence":{"x":NaN}}"#)) == nil)
    #expect(Words(try json(#"{"label":"a","score":1e999}"#))?.score == nil)
  }

  @Test func workersOfOtherMachinesNeedKeys() throws {
    let configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"])
    #expect(throws: DaemonError.openEndpoint("tcp://0.0.0.0:5561")) {
      try EndpointSafety.check(configuration, workers: ["tcp://0.0.0.0:5561"])
    }
    let folder = try Folder()
    let keys = KeyFolder(path: folder.path)
    _ = try keys.makeServerKeys()
    for guest in KeyFolder.Guest.allCases {
      try keys.makeClientKeys(name: guest.rawValue, file: "\(folder.path)/\(guest.rawValue).key", as: guest)
    }
    let pool = WorkerPool([.segment], endpoints: ["tcp://127.0.0.1:*"])
    var guarded = configuration
    guarded.keys = keys
    let server = try Server(guarded, Pipeline(segmenter: RemoteSegmenter(pool), labeler: nil), workers: pool)
    try server.start()
    let context = try Context()
    func isTaken(_ keys: GuestKeys?) throws -> Bool {
      let socket = try Socket(context, .dealer)
      if let keys { try socket.use(keys) }
      try socket.connect(pool.boundEndpoints[0])
      let ready = WorkerReady(stage: .segment, name: "w", model: ScriptedWorker.model, credit: [.segment: 1])
      try socket.send(MessageFromWorker.ready(ready).frames)
      return (try? socket.receive(timeout: keys == nil ? 300 : 2000)) != nil
    }
    func key(_ guest: KeyFolder.Guest) throws -> GuestKeys {
      try GuestKeys(file: "\(folder.path)/\(guest.rawValue).key", serverFile: "\(folder.path)/server.pub")
    }
    #expect(try isTaken(key(.worker)))
    // A client's key is none of a worker.
    #expect(try !isTaken(key(.client)))
    #expect(try !isTaken(nil))
    server.drain()
    try server.wait()
  }

  /// Extract and language with the embedded model: the same words as in one process.
  @Test func theEmbeddedModelSaysTheSameThroughWorkers() throws {
    let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let loader = ModelLoader(catalog: ModelCatalog(root: repository.appendingPathComponent("Models").path))
    let (segmenter, labeler) = (try loader.segmentEngine(), try loader.labelEngine())
    // However slow the machine is, such as under a sanitizer, nobody is taken for dead.
    var timing = WorkerTiming()
    timing.silence = .seconds(120)
    let pool = WorkerPool(Set(Pipeline.Stage.allCases), endpoints: ["tcp://127.0.0.1:*"], timing: timing)
    let remote = Pipeline(segmenter: RemoteSegmenter(pool), labeler: RemoteLabeler(pool))
    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"])
    configuration.withWorkers = [.segment: 4, .extract: 4, .language: 4]
    let server = try Server(configuration, remote, workers: pool)
    try server.start()
    let services = [
      Counted(SegmentService(segmenter)), Counted(ExtractService(labeler)), Counted(LanguageService(labeler)),
    ]
    let workers = try services.map { service in
      RunningWorker(
        try WorkerProcess(
          service, endpoint: pool.boundEndpoints[0], name: service.stage.rawValue, timing: timing))
    }
    pool.awaitWorkers(of: Pipeline.Stage.allCases)
    let picture = [UInt8](try Data(contentsOf: repository.appendingPathComponent("Examples/desk.jpg")))
    let image = ImageReference.blob(index: 0, encoding: .jpeg, raw: nil)
    let prompts = [
      WirePrompt(points: [.init(x: 439, y: 116)], pointLabels: [1]),
      WirePrompt(points: [.init(x: 200, y: 150)], pointLabels: [1]),
    ]
    var label = LabelRequest(image: image, regions: .prompts(prompts, multimask: false))
    label.maxTokens = 8
    var requests = [label, label, label]
    requests[1].question = "How do <region1> and <region2> differ?"
    requests[2].vocabulary = ["mug", "cat"]
    let here = Pipeline(segmenter: segmenter, labeler: labeler)
    for request in requests {
      let reply = remote.perform(Request(.label(request)), blobs: [picture])
      #expect(reply.error == nil)
      #expect(reply.header == here.perform(Request(.label(request)), blobs: [picture]).header)
    }
    // Pixels and image tokens crossed once, for three questions about two regions.
    for service in services { #expect(service.attachments.load(ordering: .relaxed) == 1) }
    for worker in workers { #expect(worker.leave()) }
    server.drain()
    try server.wait()
  }
}

/// Counts the jobs with which a picture or its tokens came.
private final class Counted: StageService {
  let service: any StageService
  let attachments = Atomic<Int>(0)
  init(_ service: any StageService) { self.service = service }

  var stage: Pipeline.Stage { service.stage }
  var model: ModelDescription { service.model }
  var credit: [Lane: Int] { service.credit }

  func perform(_ work: StageWork) throws -> StageResult {
    if work.message.attachment != nil { attachments.add(1, ordering: .relaxed) }
    return try service.perform(work)
  }
}
