import Foundation
import Wire
import ZeroMQ

/// A worker of one stage: connects out to a daemon, gets jobs and returns results, until it is told to stop.
///
/// One thread talks to the daemon, and one works for each job that it takes at a time: it is heard of however long the work
/// takes.
public final class WorkerProcess: Sendable {
  let service: any StageService
  let endpoint: String
  let name: String
  let timing: WorkerTiming
  let log: @Sendable (String) -> Void
  let outbox: Mailbox<News>
  let bell: Socket
  let desks: [Lane: Desk]
  private let keys: GuestKeys?
  private let context: Context

  /// What the threads that work, or others, leave for the one that talks.
  enum News: Sendable {
    case message(MessageFromWorker, of: StageWork)
    case leave
  }

  private static let bellEndpoint = "inproc://pandion/worker"

  /// - Parameters:
  ///   - service: what the stage does.
  ///   - endpoint: the daemon's, for workers.
  ///   - name: its own among all workers.
  public init(
    _ service: any StageService, endpoint: String, name: String, keys: GuestKeys? = nil,
    timing: WorkerTiming = .init(),
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(DaemonError) {
    (self.service, self.endpoint, self.name) = (service, endpoint, name)
    (self.keys, self.timing, self.log) = (keys, timing, log)
    desks = service.credit.mapValues { _ in Desk() }
    do throws(ZeroMQError) {
      context = try Context()
      bell = try Socket(context, .pull)
      try bell.bind(Self.bellEndpoint)
      outbox = try Mailbox(context, endpoint: Self.bellEndpoint)
    } catch {
      throw .socket(error)
    }
  }

  /// Takes no more jobs; `run` returns when those that it has are done. May be called from any thread.
  public func leave() { outbox.put(.leave) }

  /// Works until the daemon says stop, or `leave` is called. A daemon that goes away is waited for.
  ///
  /// - Throws: `refused`, with the daemon's reason.
  public func run() throws(DaemonError) {
    for (lane, count) in service.credit { for seat in 0..<count { open(lane, seat) } }
    defer { for desk in desks.values { desk.close() } }
    while true {
      let end = try sockets { () throws(ZeroMQError) in try Conversation(self, connect()).run() }
      switch end {
      case .silence: log("\(endpoint) says nothing; connecting anew")
      case .done: return
      case .refused(let reason): throw .refused(endpoint: endpoint, reason: reason)
      }
    }
  }

  private func connect() throws(ZeroMQError) -> Socket {
    // What was not sent when a connection is given up is for nobody any more.
    let socket = try Socket(context, .dealer, linger: 200, maxFrameBytes: StageProtocol.bytes, highWater: 256)
    if let keys { try socket.use(keys) }
    try socket.connect(endpoint)
    return socket
  }

  /// A thread that works on one job after the other.
  private func open(_ lane: Lane, _ seat: Int) {
    guard let desk = desks[lane] else { return }
    let (service, outbox) = (service, outbox)
    let thread = Thread {
      while let work = desk.take() { outbox.put(.message(Self.perform(work, service), of: work)) }
    }
    thread.name = "pandion-\(lane.rawValue)-\(seat)"
    thread.stackSize = 16 << 20
    thread.start()
  }

  private static func perform(_ work: StageWork, _ service: any StageService) -> MessageFromWorker {
    let ticket = work.message.ticket
    do {
      if work.isCancelled { throw WireError.wasCancelled }
      return .result(ticket: ticket, try service.perform(work))
    } catch is MissingAttachment {
      return .missing(ticket: ticket)
    } catch {
      return .failed(ticket: ticket, Pipeline.explain(error))
    }
  }
}

/// What waits for the threads of one lane.
final class Desk: @unchecked Sendable {
  private let condition = NSCondition()
  // Guarded by the condition's lock.
  private var waiting: [StageWork] = []
  private var isClosed = false

  func put(_ work: StageWork) {
    condition.lock()
    waiting.append(work)
    condition.signal()
    condition.unlock()
  }

  /// Waits for the next job.
  ///
  /// - Returns: nil once it is closed.
  func take() -> StageWork? {
    condition.lock()
    defer { condition.unlock() }
    while waiting.isEmpty, !isClosed { condition.wait() }
    return isClosed ? nil : waiting.removeFirst()
  }

  func close() {
    condition.lock()
    isClosed = true
    condition.broadcast()
    condition.unlock()
  }
}

extension WorkerProcess {
  /// Works until the daemon says stop, or a SIGTERM or SIGINT comes; then finishes what it has.
  public func runUntilSignalled() throws(DaemonError) {
    let signals = try TerminationSignals()
    defer { signals.restore() }
    signals.handle { [self] in leave() }
    try run()
  }
}
