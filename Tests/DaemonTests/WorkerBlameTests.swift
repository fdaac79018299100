import Foundation
import Synchronization
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// Who is to blame where a job is not finished: the job, its worker, or the daemon itself.
@Suite struct WorkerBlameTests {
  /// The only one there is fails twice and then works: the job is innocent.
  @Test func oneWorkerAloneMakesNoPoison() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let only = try rig.scripted("only")
    let client = try rig.client()
    try click(client, "1", picture: 1)
    for _ in 0..<2 {
      _ = try only.takeJob()
      try only.sayNonsense()
    }
    for _ in 0..<2 { try only.finish(only.takeJob()) }
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    let stats = try rig.stats()
    #expect(stats["poisoned"] == .integer(0) && stats["quarantined"] == .integer(0) && stats["lost"] == .integer(2))
    try rig.stop()
  }

  /// It does not have it for ever, and what it did not finish is not quarantined.
  @Test func oneWorkerAloneHasAJobSoOftenAndNotMore() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let only = try rig.scripted("only")
    let client = try rig.client()
    try click(client, "1", picture: 1)
    for _ in 0..<WorkerPool.mostMoves {
      _ = try only.takeJob()
      try only.sayNonsense()
    }
    #expect(try Rig.header(client)["error"]?["code"] == .string("internal"))
    try click(client, "2", picture: 1)
    for _ in 0..<2 { try only.finish(only.takeJob()) }
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(try rig.stats()["quarantined"] == .integer(0))
    try rig.stop()
  }

  /// What one has not finished waits for another, even where that one is busy and the first stands idle.
  @Test func aJobDoesNotGoBackToWhoFailedAtIt() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let good = try rig.scripted("good")
    let client = try rig.client()
    try click(client, "a", picture: 1)
    let first = try good.takeJob()
    let bad = try rig.scripted("bad")
    try click(client, "b", picture: 2)
    let second = try bad.takeJob()
    try bad.sayNonsense()
    #expect(bad.hearsNothing(milliseconds: 300))
    // Others may have it meanwhile.
    try click(client, "c", picture: 3)
    let third = try bad.takeJob()
    #expect(third.ticket != second.ticket)
    try bad.finish(third)
    try bad.say(.bye)
    try good.finish(first)
    let next = try good.takeJob()
    #expect(next.ticket == second.ticket)
    try good.finish(next)
    for _ in 0..<3 { try good.finish(good.takeJob()) }
    for _ in 0..<3 { #expect(try Rig.header(client)["masks"]?.array?.count == 3) }
    #expect(try rig.stats()["poisoned"] == .integer(0))
    try rig.stop()
  }

  /// The daemon's thread was held up: what was not heard meanwhile is nobody's silence.
  @Test func aDaemonThatWasAwayTakesNobodyForDead() throws {
    let rig = try WorkerRig({ ($0.silence, $0.stall) = (.seconds(1), .seconds(1)) }) {
      if $0.contains("'late' serves") { usleep(2_500_000) }
    }
    let quiet = try rig.scripted("quiet")
    let client = try rig.client()
    try click(client, "1", picture: 1)
    let job = try quiet.takeJob()
    _ = try rig.scripted("late", credit: [.automatic: 1])
    usleep(100_000)
    try quiet.finish(job)
    try quiet.finish(quiet.takeJob())
    #expect(try Rig.header(client)["masks"]?.array?.count == 3)
    #expect(try rig.stats()["lost"] == .integer(0))
    try rig.stop()
  }

  /// A worker that the daemon does not know says much before it reads: it is told once.
  @Test func whoIsNotKnownIsToldSoOnce() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let socket = try Socket(rig.context, .dealer)
    try socket.connect(rig.pool.boundEndpoints[0])
    for count in 0..<50 { try socket.send(MessageFromWorker.heartbeat(progress: count).frames) }
    var agains = 0
    while let frames = try? socket.receive(timeout: 300).frames {
      if case .again = MessageToWorker(frames) { agains += 1 }
    }
    #expect(agains == 1)
    // Where that was lost it is told again.
    usleep(800_000)
    try socket.send(MessageFromWorker.heartbeat(progress: 0).frames)
    guard case .again? = MessageToWorker(try socket.receive(timeout: 5000).frames) else {
      throw ScriptedWorker.Surprise()
    }
    try rig.stop()
  }
}
