import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// A daemon whose stage "segment" is done by workers, on free loopback ports.
final class WorkerRig {
  let server: Server
  let pool: WorkerPool
  let context: Context
  var endpoint: String { server.endpoints[0] }

  init(_ change: (inout WorkerTiming) -> Void = { _ in }) throws {
    var timing = WorkerTiming()
    timing.silence = .milliseconds(600)
    change(&timing)
    pool = WorkerPool([.segment], endpoints: ["tcp://127.0.0.1:*"], timing: timing)
    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"], controlEndpoints: ["tcp://127.0.0.1:*"])
    configuration.withWorkers = [.segment: 4]
    server = try Server(
      configuration, Pipeline(segmenter: RemoteSegmenter(pool), labeler: FakeLabeler()), workers: pool)
    try server.start()
    context = try Context()
  }

  func client() throws -> Socket {
    let socket = try Socket(context, .dealer)
    try socket.connect(endpoint)
    return socket
  }

  func scripted(_ name: String, credit: [Lane: Int] = [.segment: 1]) throws -> ScriptedWorker {
    try ScriptedWorker(context, pool, name, credit)
  }

  /// A worker on threads of its own, which leaves with `stop`.
  func worker(
    _ name: String, _ segmenter: FakeSegmenter = FakeSegmenter(), through endpoint: String? = nil
  ) throws -> RunningWorker {
    let process = try WorkerProcess(
      SegmentService(segmenter), endpoint: endpoint ?? pool.boundEndpoints[0], name: name, timing: pool.timing)
    let running = RunningWorker(process)
    pool.awaitWorkers(of: [.segment])
    return running
  }

  func stats() throws -> JSONValue {
    let socket = try Socket(context, .dealer)
    try socket.connect(server.controlEndpoints[0])
    try socket.send([Array(#"{"v":1,"op":"stats"}"#.utf8)])
    return try #require(try Rig.header(socket)["workers"])
  }

  func await(_ counter: String, _ value: Int) throws {
    for _ in 0..<400 where try stats()[counter] != .integer(value) { usleep(10_000) }
    #expect(try stats()[counter] == .integer(value))
  }

  func stop() throws {
    server.drain()
    try server.wait()
  }
}

final class RunningWorker: Sendable {
  let process: WorkerProcess
  private let ended = DispatchSemaphore(value: 0)

  init(_ process: WorkerProcess) {
    self.process = process
    let ended = ended
    let thread = Thread {
      try? process.run()
      ended.signal()
    }
    thread.start()
  }

  func leave() -> Bool {
    process.leave()
    return ended.wait(timeout: .now() + 10) == .success
  }
}

/// A worker that says what a test has it say, and computes nothing.
final class ScriptedWorker {
  let socket: Socket
  let name: String
  private let credit: [Lane: Int]
  static let model = ModelDescription(name: "fake", role: "segmenter", architecture: "square")

  init(_ context: Context, _ pool: WorkerPool, _ name: String, _ credit: [Lane: Int]) throws {
    socket = try Socket(context, .dealer)
    (self.name, self.credit) = (name, credit)
    try socket.connect(pool.boundEndpoints[0])
    try introduce()
  }

  func introduce() throws {
    try say(.ready(WorkerReady(stage: .segment, name: name, model: Self.model, credit: credit)))
    guard case .alive = try hear() else { throw Surprise() }
  }

  func say(_ message: MessageFromWorker) throws { try socket.send(message.frames) }

  func hear() throws -> MessageToWorker {
    try #require(MessageToWorker(try socket.receive(timeout: 10_000).frames))
  }

  func takeJob() throws -> StageJobMessage {
    while true { if case .job(let job) = try hear() { return job } }
  }

  struct Surprise: Error {}
}

func askForMasks(_ socket: borrowing Socket, _ id: String, x: Int = 16) throws {
  let header =
    #"{"v":1,"op":"segment","id":"\#(id)","image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[\#(x),12]],"point_labels":[1]}]}"#
  try socket.send([Array(header.utf8), Pictures.png()])
}
