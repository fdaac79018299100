import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct CameraTests {
  @Test func onlyTheNewestFrameIsWorkedOn() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try CameraRig(gate: gate)
    try rig.send("front", 1)
    rig.rig.segmenter.started.wait()
    for number in 2...20 { try rig.send("front", number) }
    try rig.awaitReceived("front", 20)
    gate.signal()
    gate.signal()
    let (first, last) = (try rig.result(), try rig.result())
    #expect([first, last].map(\.stream) == ["front", "front"])
    #expect([first, last].map(\.seq) == [1, 20])
    #expect([first, last].map { $0.header["dropped"] } == [.integer(18), .integer(18)])
    #expect([first, last].map { $0.header["stamp"]?["sec"] } == [.integer(1), .integer(20)])
    #expect(last.header["stamp"]?["nanosec"] == .integer(7) && last.header["frame_id"] == .string("front_optical"))
    #expect(last.header["op"] == .string("segment") && last.header["final"] == .bool(true))
    #expect(last.header["masks"]?[0]?["area"] == .integer(16))
    #expect(try rig.counts("front") == [20, 2, 0, 18])
    try rig.stop()
  }

  @Test func eachOperationHasItsResult() throws {
    let rig = try CameraRig(logits: 4)
    try rig.send("a", 1, op: #""op":"auto","masks":"png""#)
    let auto = try rig.result()
    #expect(auto.header["masks"]?.array?.count == 3 && auto.blobs.count == 3)
    // Partial replies are for requests: a frame has one result.
    try rig.send("a", 2, op: #""op":"label","auto":true,"stream":true,"id":"x""#)
    let label = try rig.result()
    #expect(label.header["masks"]?[0]?["label"] == .string("area 16") && label.header["id"] == .string("x"))
    #expect(label.seq == 2 && label.header["final"] == .bool(true))
    try rig.send("b", 3, op: #""op":"segment","logits":true,"prompts":[{"box":[1,1,9,9]}]"#)
    let segment = try rig.result()
    #expect(segment.stream == "b" && segment.seq == 1 && segment.blobs.map(\.count) == [16, 16, 16])
    // A picture that is held may be asked about again.
    let handle = try #require(segment.header["image"]?["handle"]?.string)
    let click = #""prompts":[{"points":[[16,12]]}]"#
    let again = try rig.rig.ask(#"{"v":1,"op":"segment","image":{"handle":"\#(handle)"},\#(click)}"#)
    #expect(again["masks"] != nil)
    try rig.stop()
  }

  @Test func streamsTakeTurns() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try CameraRig(gate: gate) { $1.framesInWork = 1 }
    try rig.send("left", 1)
    rig.rig.segmenter.started.wait()
    for number in 2...9 {
      try rig.send("left", number)
      try rig.send("right", number)
    }
    try rig.awaitReceived("left", 9)
    try rig.awaitReceived("right", 8)
    gate.signal()
    var order = [try rig.result()]
    // The one whose frame is done sends more all the time.
    for number in 10..<13 {
      rig.rig.segmenter.started.wait()
      let stream = order.last?.stream ?? ""
      let before = try rig.counts(stream)[0]
      try rig.send(stream, number)
      try rig.awaitReceived(stream, before + 1)
      gate.signal()
      order.append(try rig.result())
    }
    #expect(order.map(\.stream) == ["left", "right", "left", "right"])
    #expect(order[1].header["stamp"]?["sec"] == .integer(9))
    gate.signal()
    try rig.stop()
  }

  @Test func camerasAndClientsDoNotShutEachOtherOut() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try CameraRig(gate: gate) { configuration, _ in configuration.queue = 2 }
    gate.signal()
    #expect(try rig.rig.isServing())
    rig.rig.segmenter.started.wait()
    let streams = ["a", "b", "c", "d", "e"]
    for stream in streams { try rig.send(stream, 1) }
    for stream in streams { try rig.awaitReceived(stream, 1) }
    rig.rig.segmenter.started.wait()
    while try rig.stats()["active"] != .integer(3) { usleep(1000) }
    // Three frames are in work, and nobody waits for them who clicks into a picture that is known.
    #expect(try rig.rig.isServing())
    #expect(try rig.stats()["active"] == .integer(3))
    // Nor do they fill the queue.
    let (one, two) = (Wrapped(try rig.rig.socket()), Wrapped(try rig.rig.socket()))
    for (index, client) in [one, two].enumerated() {
      let pixels = [UInt8](repeating: UInt8(index), count: 32 * 24)
      let header = #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"mono8","width":32,"height":24}}"#
      try client.socket.send([Array(header.utf8), pixels])
      while try rig.stats()["active"]?.integer != 4 + index { usleep(1000) }
    }
    #expect(try rig.rig.ask(Pictures.question("x"))["error"]?["code"] == .string("busy"))
    // A full queue does not keep frames out either.
    try rig.send("f", 1)
    try rig.awaitReceived("f", 1)
    for _ in 0..<8 { gate.signal() }
    var answered: Set<String> = []
    for _ in 0..<6 { answered.insert(try rig.result().stream) }
    #expect(answered == Set(streams + ["f"]))
    for client in [one, two] { #expect(try Rig.header(client.socket)["image"] != nil) }
    try rig.stop()
  }

  /// Masks of everything in frames are looked for while somebody clicks.
  @Test func clicksOvertakeMasksOfEverything() throws {
    let found = DispatchSemaphore(value: 0)
    let rig = try CameraRig(found: found)
    try rig.send("front", 1, op: #""op":"auto""#)
    rig.rig.segmenter.started.wait()
    #expect(try rig.rig.isServing())
    #expect(try rig.counts("front") == [1, 0, 0, 0])
    found.signal()
    #expect(try rig.result().header["masks"]?.array?.count == 3)
    try rig.stop()
  }

  @Test func cancelAndDeadlineEndFramesToo() throws {
    let rig = try CameraRig(found: DispatchSemaphore(value: 0))
    try rig.send("front", 1, op: #""op":"auto","id":"long""#)
    rig.rig.segmenter.started.wait()
    try rig.send("front", 2, op: #""op":"auto","deadline_ms":0"#)
    try rig.awaitReceived("front", 2)
    #expect(
      try rig.rig.ask(#"{"v":1,"op":"cancel","request":"long"}"#, to: rig.rig.control)["cancelled"] == .integer(1))
    let results = [try rig.result(), try rig.result()]
    #expect(results.map(\.code) == ["cancelled", "deadline"])
    #expect(results[0].header["stamp"]?["sec"] == .integer(1))
    try rig.stop()
  }

  @Test func whatWasAcceptedIsFinishedAndTheRestRefused() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try CameraRig(gate: gate)
    try rig.send("front", 1)
    rig.rig.segmenter.started.wait()
    try rig.send("front", 2)
    try rig.awaitReceived("front", 2)
    rig.rig.server.drain()
    let waiting = try rig.result()
    #expect(waiting.seq == 2 && waiting.code == "shutting_down" && waiting.header["stamp"]?["sec"] == .integer(2))
    try rig.send("front", 3)
    let late = try rig.result()
    #expect(late.seq == 3 && late.code == "shutting_down")
    gate.signal()
    let accepted = try rig.result()
    #expect(accepted.seq == 1 && accepted.header["masks"] != nil)
    try rig.rig.server.wait()
  }

  @Test func picturesOfClientsStay() throws {
    let rig = try CameraRig()
    let put = try rig.rig.ask(#"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"png"}}"#, [Pictures.png()])
    let handle = try #require(put["image"]?["handle"]?.string)
    var last = ""
    for number in 0..<80 {
      try rig.send("front", number)
      last = try rig.result().header["image"]?["handle"]?.string ?? ""
    }
    let click = #""prompts":[{"points":[[16,12]]}]"#
    #expect(try rig.rig.ask(#"{"v":1,"op":"segment","image":{"handle":"\#(handle)"},\#(click)}"#)["masks"] != nil)
    // Of the camera's the last one is held, and stays for a client who has asked for it.
    #expect(try rig.stats()["pictures"]?["count"] == .integer(2))
    #expect(try rig.rig.ask(#"{"v":1,"op":"segment","image":{"handle":"\#(last)"},\#(click)}"#)["masks"] != nil)
    try rig.send("front", 1000)
    _ = try rig.result()
    #expect(try rig.stats()["pictures"]?["count"] == .integer(3))
    try rig.stop()
  }

  @Test func publishersAreConnectedTo() throws {
    let context = try Context()
    let publisher = try Socket(context, .pub)
    let endpoint = try publisher.bind("tcp://127.0.0.1:*")
    let rig = try CameraRig { configuration, cameras in
      cameras.endpoints = []
      cameras.publishers = [endpoint]
      cameras.topics = ["front", "rear/"]
    }
    var first: CameraRig.Result?
    // What is published before the daemon is there is lost, as is its result before the reader is.
    for number in 0..<1000 where first == nil {
      for stream in ["left", "rear", "rear/1"] { try publisher.send(CameraRig.frame(stream, number)) }
      first = try? rig.result(timeout: 20)
    }
    #expect(first?.stream == "rear/1")
    try publisher.send(CameraRig.frame("front", 5000))
    var stream = ""
    while stream != "front" { stream = try rig.result().stream }
    guard case .object(let streams) = try #require(try rig.stats()["cameras"]?["streams"]) else { return }
    #expect(streams.entries.map(\.key) == ["front", "rear/1"])
    try rig.stop()
  }

  @Test func aTakenPortIsNamed() throws {
    let rig = try CameraRig()
    let taken = rig.rig.server.resultEndpoints[0]
    let error = DaemonError.socket(.failed(operation: "listen on", endpoint: taken, errno: EADDRINUSE))
    #expect(throws: error) { try Rig { $0.cameras = CameraSettings(results: [taken]) } }
    // Where it is another endpoint that cannot be had, the cameras' are let go of again.
    var endpoint = ""
    do {
      let other = try Socket(rig.rig.context, .push)
      endpoint = try other.bind("tcp://127.0.0.1:*")
    }
    #expect(throws: DaemonError.self) {
      try Rig(extra: [taken]) { $0.cameras = CameraSettings(results: [endpoint]) }
    }
    try Rig { $0.cameras = CameraSettings(results: [endpoint]) }.stop()
    try rig.stop()
  }

  @Test func workersSeeFramesToo() throws {
    let pool = WorkerPool([.segment], endpoints: ["tcp://127.0.0.1:*"])
    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"])
    var cameras = CameraSettings()
    (cameras.endpoints, cameras.results) = (["tcp://127.0.0.1:*"], ["tcp://127.0.0.1:*"])
    (configuration.cameras, configuration.withWorkers) = (cameras, [.segment: 4])
    let server = try Server(configuration, Pipeline(segmenter: RemoteSegmenter(pool), labeler: nil), workers: pool)
    try server.start()
    let worker = RunningWorker(
      try WorkerProcess(SegmentService(FakeSegmenter()), endpoint: pool.boundEndpoints[0], name: "a"))
    pool.awaitWorkers(of: [.segment])
    let context = try Context()
    let reader = try CameraRig.reader(context, server.resultEndpoints[0])
    let camera = try Socket(context, .push)
    try camera.connect(server.cameraEndpoints[0])
    var frames: [[UInt8]] = []
    for number in 0..<1000 where frames.isEmpty {
      try camera.send(CameraRig.frame("front", number))
      frames = (try? reader.receive(timeout: 50))?.frames ?? []
    }
    #expect(try JSONValue(parsing: frames[1])["masks"]?[0]?["area"] == .integer(16))
    #expect(worker.leave())
    server.drain()
    try server.wait()
  }
}
