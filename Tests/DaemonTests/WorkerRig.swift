import Foundation
import Masks
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

  init(
    _ change: (inout WorkerTiming) -> Void = { _ in }, supervised: Set<Pipeline.Stage> = [],
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    var timing = WorkerTiming()
    timing.silence = .milliseconds(600)
    change(&timing)
    pool = WorkerPool(
      [.segment], supervised: supervised, endpoints: ["tcp://127.0.0.1:*"], timing: timing, log: log)
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

  func stats() throws -> JSONValue { try #require(try control(#"{"v":1,"op":"stats"}"#)["workers"]) }

  func control(_ header: String) throws -> JSONValue {
    let socket = try Socket(context, .dealer)
    try socket.connect(server.controlEndpoints[0])
    try socket.send([Array(header.utf8)])
    return try Rig.header(socket)
  }

  /// Cancels a request as soon as the daemon knows it.
  func cancel(_ id: String) throws {
    let header = #"{"v":1,"op":"cancel","request":"\#(id)"}"#
    for _ in 0..<400 where try control(header)["cancelled"] != .integer(1) { usleep(10_000) }
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

  /// Nothing comes for so long, or nothing but answers to heartbeats.
  func hearsNothing(milliseconds: Int) -> Bool {
    while let frames = try? socket.receive(timeout: milliseconds).frames {
      if case .alive = MessageToWorker(frames) { continue }
      return false
    }
    return true
  }

  /// Answers a job as it should be answered: three masks for each prompt.
  func finish(_ job: StageJobMessage) throws {
    let prompts = try JSONValue(parsing: job.body)["prompts"]?.array ?? []
    let mask = FoundMask(mask: square(16, 12, 3), predictedIoU: 0.5, stabilityScore: 0.9)
    var blobs: [[UInt8]] = []
    let masks = JSONValue.array(prompts.map { _ in .array((0..<3).map { _ in mask.json(&blobs) }) })
    let body = JSONValue(entries: [("masks", masks)]).serialized()
    try say(.result(ticket: job.ticket, StageResult(body: body)))
  }

  /// Says what is nothing, and comes in anew as it is told.
  func sayNonsense() throws {
    try socket.send([Array("garbage".utf8)])
    while true { if case .again = try hear() { break } }
    try introduce()
  }

  struct Surprise: Error {}
}

func askForMasks(_ socket: borrowing Socket, _ id: String, x: Int = 16) throws {
  let header =
    #"{"v":1,"op":"segment","id":"\#(id)","image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[\#(x),12]],"point_labels":[1]}]}"#
  try socket.send([Array(header.utf8), Pictures.png()])
}

/// A click into a picture of its own for each seed, 32 × 24.
func click(_ socket: borrowing Socket, _ id: String, picture seed: UInt8, _ more: String = "") throws {
  let header =
    #"{"v":1,"op":"segment","id":"\#(id)","image":{"blob":0,"encoding":"rgb8","width":32,"height":24},"prompts":[{"points":[[16,12]],"point_labels":[1]}]\#(more)}"#
  try socket.send([Array(header.utf8), [UInt8](repeating: seed, count: 32 * 24 * 3)])
}
