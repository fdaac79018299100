import Foundation
import Testing

@testable import ZeroMQ

@Suite struct SocketTests {
  @Test func framesArriveAsSent() throws {
    let context = try Context()
    let router = try Socket(context, .router)
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    #expect(endpoint != "tcp://127.0.0.1:*")
    let dealer = try Socket(context, .dealer)
    try dealer.connect(endpoint)
    try dealer.send([[], [1, 2, 3], [UInt8](repeating: 7, count: 100_000)])
    let message = try router.receive(timeout: 2000)
    #expect(message.frames.count == 4)
    #expect(message.frames[1...] == [[], [1, 2, 3], [UInt8](repeating: 7, count: 100_000)])
    try router.send([message.frames[0], [9]])
    #expect(try dealer.receive(timeout: 2000) == Multipart([[9]]))
  }

  @Test func framesBeyondTheLimitsAreDroppedAndCounted() throws {
    let context = try Context()
    let pull = try Socket(context, .pull)
    try pull.bind("inproc://limits")
    let push = try Socket(context, .push)
    try push.connect("inproc://limits")
    try push.send([[1], [2], [3], [4, 5]])
    try push.send([[1, 2], [3, 4, 5], [6]])
    try push.send([[8]])
    let few = try pull.receive(timeout: 1000, limits: MessageLimits(frames: 2, bytes: 100))
    #expect(few.frames == [[1], [2]] && few.droppedFrames == 2 && few.droppedBytes == 3)
    // A frame that does not fit ends the keeping, or the frames after it would get its index.
    let small = try pull.receive(timeout: 1000, limits: MessageLimits(frames: 10, bytes: 4))
    #expect(small.frames == [[1, 2]] && small.droppedFrames == 2 && small.droppedBytes == 4)
    #expect(try pull.receive(timeout: 1000) == Multipart([[8]]))
    #expect(try pull.receive() == nil)
  }

  @Test func aMessageOfManyFramesIsReadToItsEndAndNotKept() throws {
    let context = try Context()
    let router = try Socket(context, .router)
    let dealer = try Socket(context, .dealer)
    try dealer.connect(try router.bind("tcp://127.0.0.1:*"))
    try dealer.send(Array(repeating: [1, 2, 3], count: 50_000))
    try dealer.send([[4]])
    let limits = MessageLimits(frames: 5, bytes: 1000)
    let many = try router.receive(timeout: 10_000, limits: limits)
    #expect(many.frames.count == 5 && many.droppedFrames == 49_996 && many.droppedBytes == 3 * 49_996)
    #expect(try router.receive(timeout: 2000, limits: limits).frames.last == [4])
  }

  @Test func aLedgerHasWhatNobodyHasRead() throws {
    let context = try Context()
    let pull = try Socket(context, .pull)
    try pull.bind("inproc://ledger")
    let push = try Socket(context, .push)
    try push.connect("inproc://ledger")
    let all = Ledger()
    let one = Ledger(parent: all)
    try push.send([[1, 2, 3], [], [UInt8](repeating: 4, count: 1000)], ledger: one)
    let held = 1003 + 3 * Ledger.frameBytes
    #expect(one.bytes == held && all.bytes == held)
    try push.send([[5]], ledger: Ledger(parent: all))
    #expect(one.bytes == held && all.bytes == held + 1 + Ledger.frameBytes)
    #expect(try pull.receive(timeout: 1000).frames == [[1, 2, 3], [], [UInt8](repeating: 4, count: 1000)])
    #expect(one.bytes == 0 && all.bytes == 1 + Ledger.frameBytes)
    #expect(try pull.receive(timeout: 1000).frames == [[5]])
    #expect(all.bytes == 0)
    // What cannot be sent is not held either.
    #expect(throws: ZeroMQError.self) { try Socket(context, .push).send([[1]], timeout: 0, ledger: one) }
    #expect(one.bytes == 0)
  }

  @Test func errorsNameTheEndpoint() throws {
    let context = try Context()
    let first = try Socket(context, .router)
    let endpoint = try first.bind("tcp://127.0.0.1:*")
    let second = try Socket(context, .router)
    #expect(throws: ZeroMQError.failed(operation: "listen on", endpoint: endpoint, errno: EADDRINUSE)) {
      try second.bind(endpoint)
    }
    #expect(throws: ZeroMQError.failed(operation: "connect to", endpoint: "nonsense", errno: EINVAL)) {
      try second.connect("nonsense")
    }
    #expect(throws: ZeroMQError.timedOut(operation: "receive from", endpoint: endpoint, milliseconds: 5)) {
      try first.receive(timeout: 5)
    }
  }

  @Test func aPollerTellsWhichSocketIsReady() throws {
    let context = try Context()
    let quiet = try Socket(context, .pull)
    try quiet.bind("inproc://quiet")
    let loud = try Socket(context, .pull)
    try loud.bind("inproc://loud")
    let push = try Socket(context, .push)
    try push.connect("inproc://loud")
    var poller = Poller()
    let quietIndex = poller.add(quiet)
    let loudIndex = poller.add(loud)
    #expect(try poller.wait(milliseconds: 0) == false)
    try push.send([[1]])
    #expect(try poller.wait(milliseconds: 1000))
    #expect(poller.isReady(loudIndex) && !poller.isReady(quietIndex))
  }

  @Test func sendingWithoutRoomTimesOut() throws {
    let context = try Context()
    let push = try Socket(context, .push)
    try push.bind("inproc://nobody")
    #expect(throws: ZeroMQError.timedOut(operation: "send to", endpoint: "inproc://nobody", milliseconds: 10)) {
      try push.send([[1]], timeout: 10)
    }
  }
}
