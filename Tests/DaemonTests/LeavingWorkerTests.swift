import Testing
import ZeroMQ

@testable import Daemon

@Suite struct LeavingWorkerTests {
  /// A daemon that was started anew knows nothing of a worker that has said goodbye to the one before.
  @Test func oneThatLeavesDoesNotBeginAgain() throws {
    let context = try Context()
    let daemon = try Socket(context, .router)
    let endpoint = try daemon.bind("tcp://127.0.0.1:*")
    let worker = RunningWorker(
      try WorkerProcess(SegmentService(FakeSegmenter()), endpoint: endpoint, name: "a", timing: WorkerTiming()))
    let name = try daemon.receive(timeout: 10_000).frames[0]
    func say(_ message: MessageToWorker) throws { try daemon.send([name] + message.frames) }
    try say(.alive)
    worker.process.leave()
    while true {
      let message = MessageFromWorker(Array(try daemon.receive(timeout: 10_000).frames.dropFirst()))
      if case .bye = message { break }
    }
    let start = ContinuousClock.now
    try say(.again)
    #expect(worker.leave())
    // Silence alone would end it after six seconds.
    #expect(.now - start < .seconds(4))
  }
}
