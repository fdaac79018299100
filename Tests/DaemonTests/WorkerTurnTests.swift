import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// Which job goes to a worker, and which no more: priorities, deadlines and cancellation hold among workers too.
@Suite struct WorkerTurnTests {
  /// Clicks would wait for a worker's one place for them.
  @Test func whatTakesLongHasTheLaneThatGivesWay() throws {
    let rig = try WorkerRig()
    let worker = try rig.scripted("a", credit: [.segment: 1, .automatic: 1])
    let client = try rig.client()
    let prompts = Array(repeating: #"{"points":[[16,12]],"point_labels":[1]}"#, count: 65).joined(separator: ",")
    let header = #"{"v":1,"op":"segment","image":{"blob":0,"encoding":"png"},"prompts":[\#(prompts)]}"#
    try client.send([Array(header.utf8), Pictures.png()])
    let look = try worker.takeJob()
    #expect(look.lane == .segment)
    try worker.say(.result(ticket: look.ticket, StageResult()))
    let long = try worker.takeJob()
    #expect(long.lane == .automatic)
    try worker.say(.failed(ticket: long.ticket, WireError(.internal, "enough")))
    #expect(try Rig.header(client)["error"]?["message"] == .string("enough"))
    try rig.stop()
  }

  private func rig() throws -> WorkerRig { try WorkerRig { $0.silence = .seconds(20) } }

  @Test func whatHasPriorityGoesFirst() throws {
    let rig = try rig()
    let worker = try rig.scripted("w")
    let client = try rig.client()
    try click(client, "a", picture: 1)
    let first = try worker.takeJob()
    try click(client, "b", picture: 2)
    usleep(200_000)
    try click(client, "c", picture: 3)
    usleep(200_000)
    try click(client, "d", picture: 4, #","priority":5"#)
    usleep(200_000)
    var jobs = [first]
    while jobs.count < 8 {
      try worker.finish(jobs[jobs.count - 1])
      jobs.append(try worker.takeJob())
    }
    try worker.finish(jobs[7])
    #expect(jobs.compactMap { $0.attachment?.bytes.first } == [1, 4, 2, 3])
    for _ in 0..<4 { #expect(try Rig.header(client)["masks"]?.array?.count == 3) }
    try rig.stop()
  }

  @Test func whatWaitsForAWorkerKeepsItsDeadline() throws {
    let rig = try rig()
    let client = try rig.client()
    // There is none.
    try click(client, "none", picture: 1, #","deadline_ms":200"#)
    var begin = ContinuousClock.now
    #expect(try Rig.header(client)["error"]?["code"] == .string("deadline"))
    #expect(.now - begin < .seconds(2))
    // It is busy; what it has begun it may finish.
    let worker = try rig.scripted("w")
    try click(client, "a", picture: 1, #","deadline_ms":400"#)
    let job = try worker.takeJob()
    begin = .now
    try click(client, "b", picture: 2, #","deadline_ms":200"#)
    let late = try Rig.header(client)
    #expect(late["id"] == .string("b") && late["error"]?["code"] == .string("deadline"))
    #expect(.now - begin < .seconds(2))
    usleep(500_000)
    try worker.finish(job)
    try worker.finish(worker.takeJob())
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(worker.hearsNothing(milliseconds: 200))
    try rig.stop()
  }

  @Test func whatIsCancelledWhileItWaitsIsNeverHandedOut() throws {
    let rig = try rig()
    let worker = try rig.scripted("w")
    let client = try rig.client()
    try click(client, "a", picture: 1)
    let job = try worker.takeJob()
    try click(client, "b", picture: 2)
    usleep(200_000)
    try rig.cancel("b")
    let reply = try Rig.header(client)
    #expect(reply["id"] == .string("b") && reply["error"]?["code"] == .string("cancelled"))
    try worker.finish(job)
    try worker.finish(worker.takeJob())
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(worker.hearsNothing(milliseconds: 200))
    try rig.stop()
  }

  /// A picture is cancelled while a worker looks at it. Who else waits for it has it looked at anew.
  @Test func aCancelledLookIsNobodyElsesMatter() throws {
    let rig = try rig()
    let worker = try rig.scripted("w")
    let client = try rig.client()
    try click(client, "a", picture: 1)
    let job = try worker.takeJob()
    try click(client, "b", picture: 1)
    try click(client, "c", picture: 1)
    usleep(200_000)
    try rig.cancel("a")
    let first = try Rig.header(client)
    #expect(first["id"] == .string("a") && first["error"]?["code"] == .string("cancelled"))
    guard case .cancel(job.ticket) = try worker.hear() else { throw ScriptedWorker.Surprise() }
    // One of those who wait is cancelled as well: it need not wait for the other's look.
    try rig.cancel("c")
    let second = try Rig.header(client)
    #expect(second["id"] == .string("c") && second["error"]?["code"] == .string("cancelled"))
    try worker.say(.failed(ticket: job.ticket, WireError(.cancelled, "the request was cancelled")))
    while true {
      let message = try worker.hear()
      guard case .job(let job) = message else { continue }
      try worker.finish(job)
      if try JSONValue(parsing: job.body)["op"] == .string("segment") { break }
    }
    let reply = try Rig.header(client)
    #expect(reply["id"] == .string("b") && reply["masks"]?.array?.count == 3)
    try rig.stop()
  }

  /// A worker of the stage that takes other jobs only, and one that takes no more, are none to wait for.
  @Test func aLaneThatNobodyTakesIsUnavailable() throws {
    let rig = try WorkerRig { ($0.silence, $0.unavailable) = (.seconds(60), .milliseconds(300)) }
    let client = try rig.client()
    _ = try rig.scripted("automatic", credit: [.automatic: 1])
    try click(client, "1", picture: 1)
    let error = try Rig.header(client)["error"]
    #expect(error?["code"] == .string("model_unavailable") && error?["retryable"] == .bool(true))
    let leaving = try rig.scripted("leaving")
    try click(client, "2", picture: 2)
    let job = try leaving.takeJob()
    try leaving.say(.bye)
    try click(client, "3", picture: 3)
    let reply = try Rig.header(client)
    #expect(reply["id"] == .string("3") && reply["error"]?["code"] == .string("model_unavailable"))
    // Its own it finishes, and what comes of that finds nobody.
    try leaving.finish(job)
    #expect(try Rig.header(client)["error"]?["code"] == .string("model_unavailable"))
    try rig.stop()
  }
}
