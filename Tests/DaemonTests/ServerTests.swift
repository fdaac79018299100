import Foundation
import Imaging
import Masks
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct ServerTests {
  private static let click = #""prompts":[{"points":[[16,12]],"point_labels":[1]}]"#

  @Test func theTenLineClientGetsAWord() throws {
    let rig = try Rig()
    let socket = try rig.socket(.req)
    let header =
      #"{"v":1,"op":"label","id":"1","image":{"blob":0,"encoding":"jpeg"},"prompts":[{"points":[[16,12]],"point_labels":[1]}]}"#
    try socket.send([Array(header.utf8), Pictures.jpeg()])
    let reply = try Rig.header(socket)
    #expect(reply["masks"]?[0]?["label"] == .string("area 16"))
    #expect(reply["id"] == .string("1") && reply["op"] == .string("label") && reply["final"] == .bool(true))
    try rig.stop()
  }

  @Test func theDelimiterIsEchoedAndOnlyIfItWasSent() throws {
    let rig = try Rig()
    let socket = try rig.socket()
    try socket.send([[], Array(#"{"v":1,"op":"hello"}"#.utf8)])
    let with = try socket.receive(timeout: 5000).frames
    #expect(with.count == 2 && with[0].isEmpty)
    try socket.send([Array(#"{"v":1,"op":"hello"}"#.utf8)])
    #expect(try socket.receive(timeout: 5000).frames == [with[1]])
    try rig.stop()
  }

  @Test func helloTellsLimitsAndModels() throws {
    let rig = try Rig()
    let hello = try rig.ask(#"{"v":1,"op":"hello","id":"h"}"#)
    #expect(hello["version"] == .string("test"))
    #expect(hello["limits"]?["blobs"] == .integer(64))
    #expect(hello["models"]?[0]?["files"]?[0]?["sha256"] == .string(String(repeating: "0", count: 64)))
    #expect(try rig.ask(#"{"v":1,"op":"models"}"#)["models"]?.array?.count == 2)
    try rig.stop()
  }

  @Test func ipcServesToo() throws {
    let folder = try Folder()
    let rig = try Rig(extra: ["ipc://\(folder.path)/new/pandion.sock"])
    let client = try Client(endpoint: "ipc://\(folder.path)/new/pandion.sock")
    let reply = try client.send(Request(.hello, id: "a"), timeout: .seconds(10))
    #expect(reply.header["name"] == .string("pandion"))
    try rig.stop()
  }

  @Test func ipcSocketsLieInAFolderForTheirOwner() throws {
    let folder = try Folder()
    for (endpoint, reason) in [
      ("ipc://\(folder.path)/a/b/x.sock", "No such file or directory"), ("ipc://@pandion", "open to everybody"),
      ("ipc:///tmp/x.sock", "mode 0700"), ("ipc://x.sock", "mode 0700"),
    ] {
      #expect {
        try Rig(extra: [endpoint])
      } throws: { error in
        guard case DaemonError.runtimeFolder(_, let given) = error else { return false }
        return given.contains(reason)
      }
      #expect(throws: DaemonError.self) { try Rig { $0.controlEndpoints = [endpoint] } }
    }
    chmod(folder.path, 0o755)
    #expect(throws: DaemonError.self) { try Rig(extra: ["ipc://\(folder.path)/x.sock"]) }
    // Whoever lets other machines in needs no folder.
    try Rig(extra: ["ipc://\(folder.path)/x.sock"]) { $0.insecure = true }.stop()
  }

  @Test func aHandleStandsForItsPicture() throws {
    let rig = try Rig()
    let put = try rig.ask(#"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"png"}}"#, [Pictures.png()])
    let handle = try #require(put["image"]?["handle"]?.string)
    #expect(put["image"]?["width"] == .integer(32) && put["image"]?["height"] == .integer(24))
    let masks = try rig.ask(#"{"v":1,"op":"segment","image":{"handle":"\#(handle)"},\#(Self.click)}"#)
    #expect(masks["masks"]?.array?.count == 3)
    // The same pixels by another way have the same name, and are not looked at again.
    let raw = try rig.ask(
      #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"rgb8","width":32,"height":24}}"#, [Pictures.image.pixels])
    #expect(raw["image"]?["handle"] == .string(handle))
    #expect(rig.segmenter.embedded.load(ordering: .relaxed) == 1)
    let unknown = try rig.ask(
      #"{"v":1,"op":"segment","image":{"handle":"sha256:\#(String(repeating: "0", count: 64))"},\#(Self.click)}"#)
    #expect(unknown["error"]?["code"] == .string("no_image"))
    try rig.stop()
  }

  @Test func aRepeatedIdGetsTheSameAnswer() throws {
    let rig = try Rig()
    let socket = try rig.socket()
    let header = #"{"v":1,"op":"label","id":"x","image":{"blob":0,"encoding":"png"},\#(Self.click)}"#
    let frames = [Array(header.utf8), try Pictures.png()]
    try socket.send(frames)
    let first = try socket.receive(timeout: 5000)
    try socket.send(frames)
    #expect(try socket.receive(timeout: 5000) == first)
    #expect(rig.labeler.answered.load(ordering: .relaxed) == 1)
    // Another client's id is another id.
    _ = try rig.ask(frames)
    #expect(rig.labeler.answered.load(ordering: .relaxed) == 2)
    try rig.stop()
  }

  @Test func whatIsTooMuchIsRefusedAsBusyAndTheRestIsAnswered() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate) { $0.queue = 2 }
    let socket = try rig.socket()
    for id in ["a", "b", "c"] {
      let header = #"{"v":1,"op":"segment","id":"\#(id)","image":{"blob":0,"encoding":"png"},\#(Self.click)}"#
      try socket.send([Array(header.utf8), Pictures.png()])
    }
    let refused = try Rig.header(socket)
    #expect(refused["id"] == .string("c") && refused["error"]?["code"] == .string("busy"))
    #expect(refused["error"]?["retryable"] == .bool(true))
    #expect(refused["error"]?["retry_after_ms"] == .integer(100))
    gate.signal()
    #expect(try Rig.header(socket)["masks"]?.array?.count == 3)
    #expect(try Rig.header(socket)["masks"]?.array?.count == 3)
    try rig.stop()
  }

  @Test func prioritiesDeadlinesAndCancellation() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate)
    let socket = try rig.socket()
    func send(_ id: String, _ fields: String = "") throws {
      let header = #"{"v":1,"op":"segment","id":"\#(id)"\#(fields),"image":{"blob":0,"encoding":"png"},\#(Self.click)}"#
      try socket.send([Array(header.utf8), Pictures.png()])
    }
    try send("first")
    rig.segmenter.started.wait()
    try send("late", #","deadline_ms":0"#)
    try send("dropped")
    try send("low", #","priority":-1"#)
    try send("high", #","priority":5"#)
    // The control endpoint answers while the stage is held up, but only what has been read can be cancelled.
    while try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["active"] != .integer(4) { usleep(1000) }
    let cancelled = try rig.ask(#"{"v":1,"op":"cancel","request":"dropped"}"#, to: rig.control)
    #expect(cancelled["cancelled"] == .integer(1))
    func replies(_ count: Int) throws -> [String] {
      try (0..<count).map { _ in
        let reply = try Rig.header(socket)
        return "\(reply["id"]?.string ?? "") \(reply["error"]?["code"]?.string ?? "ok")"
      }
    }
    // Nobody waits for a turn to be told that it comes to nothing.
    #expect(try replies(2) == ["late deadline", "dropped cancelled"])
    try send("soon late", #","deadline_ms":30"#)
    #expect(try replies(1) == ["soon late deadline"])
    gate.signal()
    #expect(try replies(3) == ["first ok", "high ok", "low ok"])
    try rig.stop()
  }

  @Test func clicksOvertakeMasksOfEverything() throws {
    let found = DispatchSemaphore(value: 0)
    let rig = try Rig(found: found)
    let socket = try rig.socket()
    try socket.send([
      Array(#"{"v":1,"op":"auto","id":"all","image":{"blob":0,"encoding":"png"}}"#.utf8), Pictures.png(),
    ])
    rig.segmenter.started.wait()
    for id in 0..<3 {
      let header = #"{"v":1,"op":"label","id":"\#(id)","image":{"blob":0,"encoding":"png"},\#(Self.click)}"#
      try socket.send([Array(header.utf8), Pictures.png()])
      #expect(try Rig.header(socket)["id"] == .string("\(id)"))
    }
    #expect(try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["lanes"]?["automatic"] == .integer(1))
    found.signal()
    #expect(try Rig.header(socket)["masks"]?.array?.count == 3)
    try rig.stop()
  }

  @Test func longWorkGivesWayButNotForGood() {
    let way = RightOfWay()
    way.giveWay()
    let start = ContinuousClock.now
    way.goFirst { way.giveWay() }
    #expect(.now - start >= .milliseconds(200))
  }

  @Test func streamingGivesMasksThenWordsThenAll() throws {
    let rig = try Rig()
    let socket = try rig.socket()
    let prompts = (0..<20).map { #"{"points":[[\#($0 + 2),12]]}"# }.joined(separator: ",")
    let header =
      #"{"v":1,"op":"label","id":"s","stream":true,"image":{"blob":0,"encoding":"png"},"prompts":[\#(prompts)]}"#
    try socket.send([Array(header.utf8), Pictures.png()])
    var replies: [JSONValue] = []
    repeat { replies.append(try Rig.header(socket)) } while replies.last?["final"] != .bool(true)
    #expect(replies.map { $0["seq"]?.integer } == [0, 1, 2, 3])
    #expect(replies.map { $0["masks"]?.array?.count } == [20, 8, 8, 20])
    #expect(replies.allSatisfy { $0["id"] == .string("s") })
    // Masks first, without words; then words by the masks' ids, without the masks; at last everything.
    #expect(replies[0]["masks"]?[0]?["segmentation"] != nil && replies[0]["masks"]?[0]?["label"] == nil)
    #expect(replies[2]["masks"]?[7]?["id"] == .integer(15) && replies[2]["masks"]?[7]?["segmentation"] == nil)
    #expect(replies[2]["masks"]?[7]?["label"] == replies[3]["masks"]?[15]?["label"])
    #expect(replies[3]["masks"]?[19]?["segmentation"] != nil && replies[3]["masks"]?[19]?["label"] != nil)
    // Asked again by the same id, the final answer alone.
    try socket.send([Array(header.utf8), Pictures.png()])
    #expect(try Rig.header(socket) == replies[3])
    try rig.stop()
  }

  @Test func streamingWithoutMasksGivesOneReply() throws {
    let rig = try Rig()
    let reply = try rig.ask(
      #"{"v":1,"op":"label","id":"s","stream":true,"image":{"blob":0,"encoding":"png"},"masks":[]}"#, [Pictures.png()])
    #expect(reply["final"] == .bool(true) && reply["seq"] == .integer(0) && reply["masks"]?.array?.isEmpty == true)
    try rig.stop()
  }

  @Test func aQuestionAboutSeveralMasksHasOneAnswer() throws {
    let rig = try Rig()
    let header =
      #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},\#(Self.click),"question":"And <region1>?","history":[["a","b"]]}"#
    let reply = try rig.ask(header, [Pictures.png()])
    #expect(reply["answer"]?["text"] == .string("1 masks, 1 turns") && reply["answer"]?["score"] == .number(0.25))
    #expect(reply["masks"]?[0]?["label"] == nil && reply["masks"]?[0]?["segmentation"] != nil)
    let none = try rig.ask(
      #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"masks":[],"question":"And <region1>?"}"#,
      [Pictures.png()])
    #expect(
      none["error"]?["message"] == .string("question names regions, but there are no masks to ask about"))
    try rig.stop()
  }

  /// What the language model read of a picture is let go of before the picture, and read again when it is needed.
  @Test func prefixesAreKeptWithinBounds() throws {
    let labeler = FakeLabeler(prefixBytes: 1 << 20)
    let pipeline = Pipeline(segmenter: nil, labeler: labeler, pictures: PictureStore(bytes: (1 << 20) + (1 << 19)))
    let server = try Server(
      Configuration(endpoints: ["tcp://127.0.0.1:*"], controlEndpoints: ["tcp://127.0.0.1:*"]), pipeline)
    try server.start()
    let client = try Client(endpoint: server.endpoints[0])
    let images = try (0..<2).map { shift in
      try Image(width: 32, height: 24, pixels: (0..<32 * 24 * 3).map { UInt8(truncatingIfNeeded: $0 * (7 + shift)) })
        .encodedPNG()
    }
    let mask = GivenMask(height: 24, width: 32, counts: .raw([100, 668]))
    let picture = ImageReference.blob(index: 0, encoding: .png, raw: nil)
    var handles: [String] = []
    for blob in [images[0], images[0], images[1], images[0]] {
      let reply = try client.send(
        Request(.label(LabelRequest(image: picture, regions: .masks([mask])))), blobs: [blob])
      handles.append(try #require(reply.header["image"]?["handle"]?.string))
    }
    let control = try Client(endpoint: server.controlEndpoints[0])
    let stats = try control.send(Request(.stats)).header["prefix"]
    #expect(stats?["computed"] == .integer(3) && stats?["reused"] == .integer(1))
    #expect(stats?["evicted"] == .integer(2) && stats?["held"] == .integer(1))
    #expect(stats?["bytes"] == .integer(1 << 20))
    // The picture itself is still held.
    let again = try client.send(
      Request(.label(LabelRequest(image: .handle(handles[2]), regions: .masks([mask])))))
    #expect(again.error == nil && labeler.read.load(ordering: .relaxed) == 4)
    server.drain()
    try server.wait()
  }

  @Test func noSignalIsLostHoweverSoonItComes() throws {
    for _ in 0..<50 {
      let signals = try TerminationSignals()
      kill(getpid(), SIGTERM)
      let came = DispatchSemaphore(value: 0)
      signals.handle { came.signal() }
      #expect(came.wait(timeout: .now() + 10) == .success)
      kill(getpid(), SIGINT)
      #expect(came.wait(timeout: .now() + 10) == .success)
      signals.restore()
    }
  }

  /// Models load for a while, and a SIGHUP is for them then.
  @Test func aHangupBeforeTheDaemonIsReadyIsKept() throws {
    let signals = try TerminationSignals(onlyHangups: true)
    kill(getpid(), SIGHUP)
    signals.keepAll()
    let (ended, hungUp) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    signals.handle({ ended.signal() }, hangup: { hungUp.signal() })
    #expect(hungUp.wait(timeout: .now() + 10) == .success)
    kill(getpid(), SIGTERM)
    #expect(ended.wait(timeout: .now() + 10) == .success)
    signals.restore()
  }

  @Test func whatIsNotDoneInTimeIsGivenUpAtTheEnd() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate) { $0.drainLimit = .milliseconds(200) }
    let socket = try rig.socket()
    for id in ["under way", "waiting"] { try socket.send(Pictures.question(id)) }
    rig.segmenter.started.wait()
    while try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["active"] != .integer(2) { usleep(1000) }
    rig.server.drain()
    for _ in 0..<2 { #expect(try Rig.header(socket)["error"]?["code"] == .string("shutting_down")) }
    gate.signal()
    try rig.server.wait()
  }

  /// What was sent before the signal, and had not been read yet, is answered too.
  @Test func whoeverAskedBeforeTheEndIsAnswered() throws {
    let rig = try Rig()
    let socket = try Socket(rig.context, .dealer, highWater: 10_000)
    try socket.connect(rig.endpoint)
    for id in 0..<1000 { try socket.send([Array(#"{"v":1,"op":"hello","id":"\#(id)"}"#.utf8)]) }
    _ = try socket.receive(timeout: 5000)
    rig.server.drain()
    for _ in 1..<1000 { _ = try socket.receive(timeout: 5000) }
    try rig.server.wait()
  }

  /// More small replies than the library would take for one client.
  @Test func whoAsksMuchAtOnceGetsEveryAnswer() throws {
    let rig = try Rig()
    let socket = try Socket(rig.context, .dealer, highWater: 20_000)
    try socket.connect(rig.endpoint)
    for id in 0..<8000 { try socket.send([Array(#"{"v":1,"op":"dance","id":"\#(id)"}"#.utf8)]) }
    for _ in 0..<8000 { _ = try socket.receive(timeout: 5000) }
    #expect(try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["lost"] == .integer(0))
    try rig.stop()
  }

  /// The library ends the process where a heartbeat of its own is due on such a connection: nobody reads from it, here because its
  /// name is taken, and then it fails.
  @Test func aConnectionThatFailsUnreadEndsNobodyElse() throws {
    let rig = try Rig()
    let first = try Socket(rig.context, .dealer)
    try first.setRoutingID(Array("arm7".utf8))
    try first.connect(rig.endpoint)
    try first.send([Array(#"{"v":1,"op":"hello"}"#.utf8)])
    _ = try Rig.header(first)
    do {
      let second = try Socket(rig.context, .dealer)
      try second.setRoutingID(Array("arm7".utf8))
      try second.connect(rig.endpoint)
      for _ in 0..<900 { try second.send([[UInt8](repeating: 32, count: 10_000)]) }
      usleep(300_000)
    }
    sleep(7)
    try first.send([Array(#"{"v":1,"op":"hello"}"#.utf8)])
    #expect(try Rig.header(first)["name"] == .string("pandion"))
    try rig.stop()
  }

  @Test func drainingFinishesWhatWasAccepted() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate)
    let header = Array(#"{"v":1,"op":"label","id":"a","image":{"blob":0,"encoding":"png"},\#(Self.click)}"#.utf8)
    let accepted = try rig.socket()
    try accepted.send([header, Pictures.png()])
    rig.segmenter.started.wait()
    let told = try rig.ask(#"{"v":1,"op":"drain"}"#, to: rig.control)
    #expect(told["status"] == .string("draining") && told["active"] == .integer(1))
    #expect(try rig.ask(#"{"v":1,"op":"health"}"#, to: rig.control)["status"] == .string("draining"))
    let late = try rig.ask([header, Pictures.png()])
    #expect(late["error"]?["code"] == .string("shutting_down"))
    gate.signal()
    try rig.server.wait()
    #expect(try Rig.header(accepted)["masks"]?[0]?["label"] == .string("area 16"))
  }

  @Test func healthAndStats() throws {
    let rig = try Rig()
    #expect(try rig.isServing())
    #expect(try rig.ask(#"{"v":1,"op":"health"}"#, to: rig.control)["status"] == .string("ok"))
    let stats = try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)
    #expect(stats["requests"]?["label"] == .integer(1))
    #expect(stats["latency"]?["label"]?["count"] == .integer(1))
    #expect(stats["pictures"]?["count"] == .integer(1))
    let work = try rig.ask(
      #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"png"}}"#, [Pictures.png()], to: rig.control)
    #expect(work["error"]?["code"] == .string("bad_request"))
    try rig.stop()
  }

  /// A job goes to its end with the models that it began with; what begins later gets the others, which see for themselves.
  @Test func modelsAreReplacedBetweenRequests() throws {
    let gate = DispatchSemaphore(value: 0)
    weak var gone: FakeSegmenter?
    let pipeline: Pipeline
    let server: Server
    let started: DispatchSemaphore
    do {
      let old = FakeSegmenter(gate: gate)
      (gone, started) = (old, old.started)
      pipeline = Pipeline(segmenter: old, labeler: FakeLabeler())
      server = try Server(Configuration(endpoints: ["tcp://127.0.0.1:*"]), pipeline)
    }
    try server.start()
    let context = try Context()
    let socket = try Socket(context, .dealer)
    try socket.connect(server.endpoints[0])
    let header = #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},\#(Self.click)}"#
    try socket.send([Array(header.utf8), Pictures.png()])
    started.wait()

    let (new, labeler) = (FakeSegmenter(), FakeLabeler())
    server.takeModels { throw WireError(.internal, "no") }
    #expect(pipeline.models.generation == 0)
    server.takeModels { (new, labeler) }
    #expect(pipeline.models.generation == 1 && new.embedded.load(ordering: .relaxed) == 1)
    #expect(labeler.answered.load(ordering: .relaxed) == 1)
    #expect(gone != nil)
    gate.signal()
    #expect(try Rig.header(socket)["masks"]?[0]?["label"] == .string("area 16"))
    // The picture is known, but not to these models.
    try socket.send([Array(header.utf8), Pictures.png()])
    #expect(try Rig.header(socket)["masks"]?[0]?["label"] == .string("area 16"))
    #expect(new.embedded.load(ordering: .relaxed) == 2 && labeler.answered.load(ordering: .relaxed) == 2)
    let end = ContinuousClock.now + .seconds(5)
    while gone != nil, .now < end { usleep(1000) }
    #expect(gone == nil)
    server.drain()
    try server.wait()
  }

  @Test func modelsThatFailTheirTrialAreNotTaken() throws {
    struct Broken: SegmentEngine {
      let model = ModelDescription(name: "broken", role: "segmenter", architecture: "none")
      func embed(_ image: Image) throws -> any Held { throw WireError(.internal, "no") }
      func predict(
        _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool, isCancelled: () -> Bool
      ) throws -> [[FoundMask]] { [] }
      func automatic(
        _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool,
        watch: (([FoundMask]) -> Void)?
      ) throws -> [FoundMask] { [] }
    }
    let rig = try Rig()
    rig.server.takeModels { (Broken(), nil) }
    #expect(try rig.ask(#"{"v":1,"op":"models"}"#)["models"]?[0]?["name"] == .string("fake"))
    rig.server.takeModels { (nil, FakeLabeler()) }
    #expect(try rig.ask(#"{"v":1,"op":"models"}"#)["models"]?.array?.count == 1)
    try rig.stop()
  }

  @Test func aTakenPortIsNamed() throws {
    let rig = try Rig()
    let other = try Server(Configuration(endpoints: [rig.endpoint]), Pipeline(segmenter: nil, labeler: nil))
    #expect(throws: DaemonError.socket(.failed(operation: "listen on", endpoint: rig.endpoint, errno: EADDRINUSE))) {
      try other.start()
    }
    try rig.stop()
  }
}
