import Foundation
import Synchronization
import Wire
import ZeroMQ

/// The jobs under way, by ticket. A stage in this process gets a ticket over `inproc://` instead of megabytes.
final class JobTable: Sendable {
  private let jobs = Mutex<(next: UInt64, jobs: [UInt64: Job])>((1, [:]))

  func add(_ job: Job) -> UInt64 {
    jobs.withLock { state in
      defer { state.next += 1 }
      state.jobs[state.next] = job
      return state.next
    }
  }

  subscript(ticket: UInt64) -> Job? { jobs.withLock { $0.jobs[ticket] } }
  func remove(_ ticket: UInt64) { jobs.withLock { $0.jobs[ticket] = nil } }
}

/// A ticket as a frame.
enum Ticket {
  static func frame(_ ticket: UInt64) -> [UInt8] { withUnsafeBytes(of: ticket.littleEndian) { Array($0) } }

  static func read(_ frame: [UInt8]) -> UInt64? {
    guard frame.count == 8 else { return nil }
    return frame.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
  }
}

/// One seat of a lane: a REP service with a thread of its own, since its work takes long and blocks.
///
/// It connects to the front end, as a stage in another process would. An empty message ends it.
final class StageWorker: Sendable {
  private let finished = DispatchSemaphore(value: 0)

  static func endpoint(_ lane: Lane, seat: Int) -> String { "inproc://pandion/\(lane.rawValue)/\(seat)" }

  init(
    _ lane: Lane, seat: Int, _ context: Context, _ pipeline: Pipeline, _ jobs: JobTable,
    log: @escaping @Sendable (String) -> Void
  ) {
    let finished = finished
    let thread = Thread {
      do {
        try Self.serve(lane, seat, context, pipeline, jobs)
      } catch {
        log("lane \(lane.rawValue) ended: \(error)")
      }
      finished.signal()
    }
    thread.name = "pandion-\(lane.rawValue)-\(seat)"
    thread.stackSize = 16 << 20
    thread.start()
  }

  private static func serve(
    _ lane: Lane, _ seat: Int, _ context: Context, _ pipeline: Pipeline, _ jobs: JobTable
  ) throws(ZeroMQError) {
    let socket = try Socket(context, .rep)
    try socket.connect(endpoint(lane, seat: seat))
    let notices = try Socket(context, .push)
    try notices.connect(FrontEnd.commandEndpoint)
    while true {
      let frames = try socket.receive(timeout: nil).frames
      guard let ticket = frames.first.flatMap(Ticket.read) else { return }
      if let job = jobs[ticket] {
        // A notice that is lost costs nothing: what it tells of goes out with the next, or before the final reply.
        job.announce = { try? notices.send([Ticket.frame(ticket)], timeout: 0) }
        pipeline.run(lane.stage, job)
        job.announce = nil
      }
      try socket.send([Ticket.frame(ticket)])
    }
  }

  /// Waits for the thread to end.
  func join() { finished.wait() }
}
