import Tensors
import Wire
import ZeroMQ

/// A worker's connection to its daemon, from READY to its end: the thread that never computes.
final class Conversation {
  enum End: Sendable {
    /// The daemon says nothing any more.
    case silence
    case done
    case refused(String)
  }

  private let worker: WorkerProcess
  private let socket: Socket
  /// The jobs that the daemon waits for, by ticket.
  private var jobs: [UInt64: StageWork] = [:]
  private var heard = LastHeard(over: nil)
  private var said = ContinuousClock.now
  private var messages = 0
  /// It has said goodbye.
  private var isLeaving = false
  private var isWelcome = false

  init(_ worker: WorkerProcess, _ socket: consuming Socket) {
    self.worker = worker
    self.socket = socket
  }

  func run() throws(ZeroMQError) -> End {
    // Whatever way it ends, nobody waits for what is under way.
    defer { drop() }
    var poller = Poller()
    let socketIndex = poller.add(socket)
    let bellIndex = poller.add(worker.bell)
    try introduce()
    while true {
      // Several heartbeats fit the time after which one is missed.
      let heartbeat = worker.timing.silence / 6
      _ = try poller.wait(milliseconds: max(10, Int(heartbeat.seconds * 200)))
      if poller.isReady(socketIndex), let end = try listen() { return end }
      if poller.isReady(bellIndex) { while try worker.bell.receive() != nil {} }
      for news in worker.outbox.takeAll() { try pass(on: news) }
      if isLeaving, !isWelcome { return .done }
      _ = heard.hearsPart(after: worker.timing.silence)
      if heard.silence > worker.timing.silence * 2 { return isLeaving ? .done : .silence }
      if .now - said > heartbeat { try say(.heartbeat(progress: ComputePool.progress &+ messages)) }
    }
  }

  private func introduce() throws(ZeroMQError) {
    drop()
    let service = worker.service
    try say(.ready(WorkerReady(stage: service.stage, name: worker.name, model: service.model, credit: service.credit)))
  }

  private func drop() {
    for work in jobs.values { work.cancel() }
    jobs = [:]
  }

  private func listen() throws(ZeroMQError) -> End? {
    let limits = MessageLimits(frames: StageProtocol.blobs, bytes: StageProtocol.bytes)
    for _ in 0..<64 {
      guard let received = try socket.receive(limits: limits) else { return nil }
      heard = LastHeard(over: socket.lastConnection)
      guard received.droppedFrames == 0, let message = MessageToWorker(received.frames) else { continue }
      switch message {
      case .job(let job):
        guard let desk = worker.desks[job.lane] else {
          try say(.failed(ticket: job.ticket, WireError(.internal, "lane '\(job.lane.rawValue)' is not served here")))
          continue
        }
        let work = StageWork(job, outbox: worker.outbox)
        jobs[job.ticket] = work
        desk.put(work)
      case .cancel(let ticket): jobs[ticket]?.cancel()
      case .alive:
        if !isWelcome { worker.log("\(worker.endpoint) takes this worker, '\(worker.name)'") }
        isWelcome = true
      case .again:
        // Who is leaving has nothing more to do for a daemon that knows nothing of its jobs.
        guard !isLeaving else { return .done }
        try introduce()
      case .refused(let reason): return .refused(reason)
      case .stop: return .done
      }
    }
    return nil
  }

  private func pass(on news: WorkerProcess.News) throws(ZeroMQError) {
    switch news {
    case .leave:
      guard !isLeaving else { return }
      isLeaving = true
      try say(.bye)
    case .message(let message, let work):
      // A job of an earlier connection may have had the same ticket.
      let ticket = work.message.ticket
      guard jobs[ticket] === work else { return }
      if case .partial = message {} else { jobs[ticket] = nil }
      try say(message)
    }
  }

  private func say(_ message: MessageFromWorker) throws(ZeroMQError) {
    // What was said is progress, but not that there was something to say about progress.
    if case .heartbeat = message {} else { messages += 1 }
    said = .now
    do throws(ZeroMQError) {
      try socket.send(message.frames, timeout: 1000)
    } catch .timedOut {
      // The daemon reads nothing; that it says nothing either will end this.
    }
  }
}
