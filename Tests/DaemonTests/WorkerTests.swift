import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct WorkerTests {
  @Test func aClickThroughAWorkerIsTheSameReply() throws {
    let (here, there) = (try Rig(), try WorkerRig())
    let worker = try there.worker("a")
    let first = try here.socket()
    let second = try there.client()
    for header in [
      #""op":"segment","logits":true,"prompts":[{"points":[[5,6],[7,8]],"point_labels":[1,0]},{"box":[1,2,20,21]}]"#,
      #""op":"auto""#, #""op":"put_image""#,
      #""op":"label","prompts":[{"points":[[5,6]],"point_labels":[1]}]"#,
    ] {
      let message = [
        Array((#"{"v":1,"id":"\#(header.count)","image":{"blob":0,"encoding":"png"},"# + header + "}").utf8),
        try Pictures.png(),
      ]
      try first.send(message)
      try second.send(message)
      #expect(try first.receive(timeout: 20_000) == second.receive(timeout: 20_000))
    }
    #expect(try there.stats()["segment"] == .integer(1))
    #expect(worker.leave())
    try here.stop()
    try there.stop()
  }

  @Test func aDeadWorkersRequestGoesToAnother() throws {
    let rig = try WorkerRig()
    let dead = try rig.scripted("dead")
    let client = try rig.client()
    try askForMasks(client, "1")
    let job = try dead.takeJob()
    // It says nothing any more.
    let worker = try rig.worker("alive")
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(try rig.stats()["lost"] == .integer(1))
    #expect(try rig.stats()["retried"] == .integer(1))

    // What the dead one says late is nobody's, before it comes in anew and after it.
    let late = MessageFromWorker.result(ticket: job.ticket, StageResult(body: Array(#"{"masks":[]}"#.utf8)))
    try dead.say(late)
    while true { if case .again = try dead.hear() { break } }
    try dead.introduce()
    try dead.say(late)
    try rig.await("strange", 2)
    #expect(throws: ZeroMQError.self) { try client.receive(timeout: 100) }
    #expect(worker.leave())
    try rig.stop()
  }

  /// A picture on its way there, and logits on their way back, take longer than a silence may: heartbeats wait behind them.
  @Test func aSlowLineIsNoDeath() throws {
    let rig = try WorkerRig()
    let line = try SlowLine(to: rig.pool.boundEndpoints[0], bytesPerSecond: 400_000)
    let worker = try rig.worker("far", FakeSegmenter(logits: 1 << 18), through: line.endpoint)
    let client = try rig.client()
    let header =
      #"{"v":1,"op":"segment","logits":true,"multimask":false,"image":{"blob":0,"encoding":"rgb8","width":640,"height":480},"prompts":[{"points":[[16,12]]}]}"#
    let begin = ContinuousClock.now
    try client.send([Array(header.utf8), [UInt8](repeating: 7, count: 640 * 480 * 3)])
    let reply = try client.receive(timeout: 30_000).frames
    #expect(reply.last?.count == 1 << 20, "\(String(decoding: reply[0], as: UTF8.self).prefix(200))")
    #expect(.now - begin > rig.pool.timing.silence * 6)
    let stats = try rig.stats()
    #expect(stats["lost"] == .integer(0) && stats["retried"] == .integer(0) && stats["strange"] == .integer(0))
    #expect(worker.leave())
    try rig.stop()
  }

  @Test func whatEndsTwoWorkersIsPoison() throws {
    let rig = try WorkerRig()
    let client = try rig.client()
    for name in ["a", "b"] {
      let worker = try rig.scripted(name)
      // The same request again is the same one.
      try askForMasks(client, "1")
      _ = try worker.takeJob()
      // A worker that says what is nothing is as good as dead.
      if name == "a" { try worker.socket.send([Array("garbage".utf8)]) }
      if name == "b" { rig.pool.died(name: name) }
      if name == "a" { try rig.await("lost", 1) }
    }
    #expect(try Rig.header(client)["error"]?["code"] == .string("poison"))
    let worker = try rig.worker("c")
    // Quarantined: by its content, under whatever id, and nothing else is.
    let other = try rig.client()
    try askForMasks(other, "2")
    #expect(try Rig.header(other)["error"]?["code"] == .string("poison"))
    try askForMasks(other, "3", x: 20)
    let reply = try Rig.header(other)
    // The first thing that is asked for is to look at the picture; that is what ended them.
    #expect(reply["error"]?["code"] == .string("poison"))
    let stats = try rig.stats()
    #expect(stats["poisoned"] == .integer(1) && stats["quarantined"] == .integer(1) && stats["lost"] == .integer(2))
    #expect(worker.leave())
    try rig.stop()
  }

  @Test func aLongWorkIsNoDeath() throws {
    let rig = try WorkerRig()
    let gate = DispatchSemaphore(value: 0)
    let segmenter = FakeSegmenter(gate: gate)
    let worker = try rig.worker("slow", segmenter)
    let client = try rig.client()
    try askForMasks(client, "1")
    segmenter.started.wait()
    usleep(2_000_000)
    gate.signal()
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(try rig.stats()["lost"] == .integer(0))
    #expect(worker.leave())
    try rig.stop()
  }

  @Test func oneThatLivesAndComputesNothingIsDead() throws {
    let rig = try WorkerRig { $0.stall = .milliseconds(700) }
    let stuck = try rig.scripted("stuck")
    let client = try rig.client()
    try askForMasks(client, "1")
    _ = try stuck.takeJob()
    let other = try rig.worker("well")
    for _ in 0..<12 {
      try stuck.say(.heartbeat(progress: 7))
      usleep(100_000)
    }
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(try rig.stats()["lost"] == .integer(1))
    #expect(other.leave())
    try rig.stop()
  }

  @Test func oneThatLeavesFinishesWhatItHas() throws {
    let rig = try WorkerRig()
    let gate = DispatchSemaphore(value: 0)
    let segmenter = FakeSegmenter(gate: gate)
    let worker = try rig.worker("a", segmenter)
    let client = try rig.client()
    try askForMasks(client, "1")
    segmenter.started.wait()
    worker.process.leave()
    // What comes now waits for another.
    usleep(100_000)
    try askForMasks(client, "2", x: 20)
    gate.signal()
    // A click looks at the picture first and asks for masks then, which the other one does as well.
    let next = try rig.worker("b")
    let ids = try [Rig.header(client), Rig.header(client)].map { reply in
      #expect(reply["masks"]?.array?.count == 3)
      return reply["id"]?.string
    }
    #expect(Set(ids) == ["1", "2"])
    #expect(worker.leave() && next.leave())
    #expect(try rig.stats()["lost"] == .integer(0))
    try rig.stop()
  }

  @Test func withoutWorkersTheStageIsUnavailable() throws {
    let rig = try WorkerRig { $0.unavailable = .milliseconds(200) }
    let client = try rig.client()
    try askForMasks(client, "1")
    let error = try Rig.header(client)["error"]
    #expect(error?["code"] == .string("model_unavailable") && error?["retryable"] == .bool(true))
    try rig.stop()
  }

  /// Workers that vanish with their jobs, one after the other, beside one that works.
  @Test func everyAcceptedIdGetsOneFinalAnswer() throws {
    let rig = try WorkerRig()
    let worker = try rig.worker("well")
    let client = try rig.client()
    let context = rig.context
    let pool = rig.pool
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      for index in 0..<12 {
        guard let flaky = try? ScriptedWorker(context, pool, "flaky-\(index)", [.segment: 1]),
          (try? flaky.takeJob()) != nil
        else {
          continue
        }
        pool.died(name: flaky.name)
      }
      done.signal()
    }
    thread.start()
    var finals: [String: Int] = [:]
    var count = 0
    func take() throws {
      let reply = try Rig.header(client)
      #expect(reply["final"] == .bool(true))
      #expect(reply["masks"] != nil || reply["error"]?["code"] == .string("poison"))
      finals[try #require(reply["id"]?.string), default: 0] += 1
    }
    // As many as there are jobs for the flaky ones, and some more.
    while done.wait(timeout: .now()) == .timedOut, count < 2000 {
      for _ in 0..<8 {
        try askForMasks(client, "\(count)", x: count % 30)
        count += 1
      }
      while finals.count < count { try take() }
    }
    #expect(finals.count == count && finals.values.allSatisfy { $0 == 1 })
    #expect(throws: ZeroMQError.self) { try client.receive(timeout: 200) }
    #expect(worker.leave())
    try rig.stop()
  }
}
