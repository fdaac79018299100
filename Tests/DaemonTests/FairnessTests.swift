import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct FairnessTests {
  /// Tickets of clients in the order in which a lane of one seat takes them.
  private func order(_ jobs: [(client: UInt8, priority: Int)]) throws -> [UInt64] {
    let context = try Context()
    let queue = try StageQueue(.segment, context, seats: 1)
    let worker = try Socket(context, .rep)
    try worker.connect(StageWorker.endpoint(.segment, seat: 0))
    for (ticket, job) in jobs.enumerated() {
      try queue.add(UInt64(ticket), priority: job.priority, client: [job.client])
    }
    var taken: [UInt64] = []
    while taken.count < jobs.count {
      let frames = try worker.receive(timeout: 5000).frames
      try worker.send(frames)
      var finished: UInt64?
      while finished == nil { finished = try queue.takeFinished(queue.seats[0]) }
      taken.append(try #require(finished))
    }
    return taken
  }

  @Test func clientsTakeTurns() throws {
    // Four of one client, then two of another and one of a third.
    #expect(try order([1, 1, 1, 1, 2, 2, 3].map { ($0, 0) }) == [0, 4, 6, 1, 5, 2, 3])
    // The first is under way already; after that priority counts more than whose turn it is.
    #expect(try order([(1, 0), (1, 0), (1, 5), (2, 0)]) == [0, 2, 3, 1])
    #expect(try order([1, 1, 1].map { ($0, 0) }) == [0, 1, 2])
  }

  @Test func aPaceLetsABurstThroughAndThenSoManyASecond() {
    let start = ContinuousClock.now
    var pace = Pace(perSecond: 500, now: start)
    let burst = (0..<65).map { _ in pace.take(for: [1], now: start) }
    #expect(burst == Array(repeating: true, count: 64) + [false])
    let delay = pace.delay(now: start)
    #expect(delay == 2)
    let later = [1, 3].map { pace.take(for: [1], now: start + .milliseconds($0)) }
    #expect(later == [false, true])
    // What costs more than is left is let through, and the next waits for it.
    var other = Pace(perSecond: 500, now: start)
    let large = [other.take(for: [1], cost: 164, now: start), other.take(for: [1], now: start)]
    let wait = other.delay(now: start)
    #expect(large == [true, false] && wait == 202)
    // Of many at once each gets its share, up to some.
    for client in 0..<64 { _ = pace.take(for: [UInt8(client)], now: start + .milliseconds(4)) }
    let taken = (0..<100).count { _ in pace.take(for: [7], now: start + .milliseconds(14)) }
    #expect((64...81).contains(taken))
  }

  /// Refusals go out slowly while somebody's work is under way, all of them in the end, and others are not held up by them.
  @Test func floodsDoNotHoldUpOthers() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate) { $0.refusalsPerSecond = 20 }
    let worker = try rig.socket()
    try worker.send(Pictures.question("work"))
    rig.segmenter.started.wait()
    let flood = try Socket(rig.context, .dealer)
    try flood.connect(rig.endpoint)
    for _ in 0..<600 { try flood.send([Array("not json".utf8)]) }
    // A burst is answered at once.
    for _ in 0..<64 { _ = try Rig.header(flood) }
    let start = ContinuousClock.now
    for id in 0..<5 {
      let socket = try rig.socket()
      try socket.send(Pictures.question("other \(id)"))
      while try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["active"]?.integer ?? 0 < 2 + id { usleep(1000) }
    }
    let took = ContinuousClock.now - start
    #expect(took < .seconds(5))
    // Of the others next to none, since nobody is to wait for them.
    var came = 0
    while (try? flood.receive(timeout: 0)) != nil { came += 1 }
    let most = 2 + Int((.now - start).components.seconds + 1) * 20
    #expect(came <= most)
    // When nobody works they come at once.
    for _ in 0..<6 { gate.signal() }
    for _ in came..<(600 - 64) { _ = try Rig.header(flood) }
    #expect(try Rig.header(worker)["masks"] != nil)
    try rig.stop()
  }

  /// A client that asks and does not read has bounded bytes here; what it reads later is whole, and others are served.
  @Test func unreadRepliesAreBoundedInBytes() throws {
    let folder = try Folder()
    let ipc = "ipc://\(folder.path)/pandion.sock"
    let each = 3 << 20
    let rig = try Rig(extra: [ipc], logits: 1 << 18) {
      $0.unreadBytesPerClient = 8 << 20
      $0.unreadBytes = 64 << 20
    }
    let deaf = try Socket(rig.context, .dealer, highWater: 1)
    try deaf.connect(ipc)
    func request(_ id: Int) throws -> [[UInt8]] {
      let header =
        #"{"v":1,"op":"segment","id":"\#(id)","logits":true,"image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[16,12]]}]}"#
      return [Array(header.utf8), try Pictures.png()]
    }
    func stats() throws -> JSONValue { try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control) }
    for id in 0..<20 {
      try deaf.send(try request(id), timeout: 5000)
      while try stats()["requests"]?["segment"]?.integer ?? 0 <= id { usleep(1000) }
      while try stats()["active"] != .integer(0) { usleep(1000) }
    }
    var told = try stats()
    let unread = told["unread_bytes"]?.integer ?? 0
    #expect(unread > each && unread <= 8 << 20)
    let busy = told["errors"]?["busy"]?.integer ?? 0
    #expect(busy > 0 && (told["lost"]?.integer ?? 0) + busy >= 12)
    // Others do not notice.
    #expect(try rig.isServing())
    // Whatever comes is whole; afterwards the client is like any other.
    var got = 0
    while let message = try? deaf.receive(timeout: 500) {
      got += 1
      let reply = try JSONValue(parsing: message.frames[0])
      #expect(
        reply["error"]?["code"] == .string("busy")
          || message.frames.dropFirst().map(\.count) == [1 << 20, 1 << 20, 1 << 20])
    }
    #expect(got >= 2)
    told = try stats()
    #expect(told["unread_bytes"]?.integer ?? .max < 10_000)
    try deaf.send(try request(100))
    #expect(try deaf.receive(timeout: 5000).frames.count == 4)
    try rig.stop()
  }
}
