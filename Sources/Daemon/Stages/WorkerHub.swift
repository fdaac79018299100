import Wire
import ZeroMQ

/// The thread that talks to workers: who is there, who has what, and who is dead.
///
/// Made by one thread and then used by another alone, which is why it may cross over unchecked.
final class WorkerHub: @unchecked Sendable {
  /// What other threads ask of it.
  enum Order: Sendable {
    case call(StageCall)
    case abandoned(StageCall)
    case died(name: String)
    case stop
  }

  struct Worker {
    let ready: WorkerReady
    /// The tickets of its jobs in each lane.
    var jobs: [Lane: Set<UInt64>] = [:]
    /// What it is thought to hold, the last one last.
    var handles: [String] = []
    var heard: LastHeard
    var progress = -1
    var progressed = ContinuousClock.now
    var isLeaving = false
    /// When it came in under the name of one that was there, over another connection.
    var tookOver: ContinuousClock.Instant?

    var isIdle: Bool { jobs.values.allSatisfy(\.isEmpty) }

    /// Whether it will have room for jobs of a lane, if not now.
    func takes(_ lane: Lane) -> Bool { !isLeaving && ready.credit[lane] != nil }

    mutating func noteHeld(_ handle: String) {
      handles.removeAll { $0 == handle }
      handles.append(handle)
      if handles.count > 64 { handles.removeFirst() }
    }
  }

  struct Job {
    let call: StageCall
    /// The names of workers that it may have ended.
    var ended: Set<String> = []
    /// How often it was handed out and not finished, for whatever reason.
    var moves = 0
    /// What its handle names went along when it was handed out.
    var wasAttached = false
    /// Who has it; nil while it waits.
    var worker: [UInt8]?
    /// Nobody waits for it any more.
    var isAbandoned = false

    var isSuspect: Bool { !ended.isEmpty }
  }

  static let endpoint = "inproc://pandion/workers"

  let pool: WorkerPool
  let socket: Socket
  let bell: Socket
  let mailbox: Mailbox<Order>
  private(set) var bound: [String] = []
  var workers: [[UInt8]: Worker] = [:]
  var jobs: [UInt64: Job] = [:]
  /// The model of the workers of each role, for as long as the daemon lives, since what they make of pictures is kept: the
  /// first worker's, or that of the first one that the supervisor keeps.
  var references: [String: ModelDescription] = [:]
  /// Who was told `again` and has not come in since: how often, and when.
  var asked: [[UInt8]: (count: Int, last: ContinuousClock.Instant)] = [:]
  /// Tickets in the order of their turn.
  var waiting: [Lane: [UInt64]] = [:]
  private var nextTicket: UInt64 = 1
  /// Since when nobody takes a lane.
  var orphaned: [Lane: ContinuousClock.Instant] = [:]
  private var isStopping = false

  init(_ pool: WorkerPool, _ context: Context, secretKey: String?) throws(ZeroMQError) {
    self.pool = pool
    socket = try Socket(
      context, .router, linger: 1000, maxFrameBytes: StageProtocol.bytes, highWater: 256, receiveHighWater: 8)
    bell = try Socket(context, .pull)
    try bell.bind(Self.endpoint)
    mailbox = try Mailbox(context, endpoint: Self.endpoint)
    try socket.guardAgainstStrangers()
    for endpoint in pool.endpoints {
      bound.append(try FrontEnd.bind(socket, endpoint, secretKey, domain: Authenticator.workerDomain))
    }
    for lane in Lane.allCases { orphaned[lane] = .now }
  }

  func run() throws(ZeroMQError) {
    var poller = Poller()
    let socketIndex = poller.add(socket)
    let bellIndex = poller.add(bell)
    var looked = ContinuousClock.now
    while !isStopping {
      // Deaths are looked for often within the shortest time that makes one.
      let patience = workers.isEmpty && jobs.isEmpty ? 1000 : 50
      _ = try poller.wait(milliseconds: patience)
      // Everything that came is read before anybody is missed: it was this thread that may have been held up.
      if poller.isReady(socketIndex) {
        for _ in 0..<256 {
          guard let frames = try receive() else { break }
          take(frames)
        }
      }
      if poller.isReady(bellIndex) { while try bell.receive() != nil {} }
      for order in mailbox.takeAll() { obey(order) }
      if .now - looked > .milliseconds(patience) + pool.timing.silence / 3 { excuseAll() }
      looked = .now
      buryTheDead()
      dropTheUnwanted()
      dispatch()
      refuseTheOrphaned()
      publish()
    }
    // Those that the supervisor keeps end with it; others wait for the next daemon.
  }

  /// Nobody shall wait for a thread that has ended.
  func failAll() {
    let error = WireError(.shuttingDown, "the daemon is stopping")
    for job in jobs.values { job.call.finish(.failure(error)) }
    for case .call(let call) in mailbox.close() { call.finish(.failure(error)) }
  }

  private func receive() throws(ZeroMQError) -> [[UInt8]]? {
    let limits = MessageLimits(frames: StageProtocol.blobs, bytes: StageProtocol.bytes)
    guard let message = try socket.receive(limits: limits) else { return nil }
    if let connection = socket.lastConnection { pool.withState { $0.incoming }?.note(connection) }
    // A message that was cut is none.
    return message.droppedFrames == 0 ? message.frames : Array(message.frames.prefix(1))
  }

  private func take(_ frames: [[UInt8]]) {
    guard let identity = frames.first else { return }
    guard let message = MessageFromWorker(Array(frames.dropFirst())) else {
      countStrange()
      return giveUp(identity)
    }
    switch message {
    case .ready(let ready): return welcome(ready, identity)
    case .unusable(let reason):
      countStrange()
      lose(identity, blame: true)
      send(.refused(reason), to: identity)
      return
    default: break
    }
    guard workers[identity] != nil else {
      if message.isAboutAJob { countStrange() }
      return sayAgain(identity)
    }
    workers[identity]?.heard = LastHeard(over: socket.lastConnection)
    switch message {
    case .ready, .unusable: break
    case .heartbeat(let progress):
      if workers[identity]?.progress != progress { workers[identity]?.progressed = .now }
      workers[identity]?.progress = progress
      send(.alive, to: identity)
    case .partial(let ticket, let body):
      guard let job = job(ticket, of: identity) else { return countStrange() }
      job.call.add(partial: body)
    case .result(let ticket, let result): finish(ticket, identity, .success(result))
    case .failed(let ticket, let error): finish(ticket, identity, .failure(error))
    case .missing(let ticket):
      guard let job = job(ticket, of: identity) else { return countStrange() }
      if job.wasAttached {
        countStrange()
        giveUp(identity)
      } else {
        hand(job.call, ticket, to: identity, attached: true)
      }
    case .bye:
      workers[identity]?.isLeaving = true
      dismissIfIdle(identity)
    }
  }

  /// Whoever says what is nothing does not work well: as good as dead.
  private func giveUp(_ identity: [UInt8]) {
    guard workers[identity] != nil else { return }
    lose(identity, blame: true)
    sayAgain(identity)
  }

  private func obey(_ order: Order) {
    switch order {
    case .call(let call):
      jobs[nextTicket] = Job(call: call)
      enqueue(nextTicket)
      nextTicket += 1
    case .abandoned(let call):
      guard let ticket = jobs.first(where: { $0.value.call === call })?.key else { return }
      if let worker = jobs[ticket]?.worker {
        jobs[ticket]?.isAbandoned = true
        send(.cancel(ticket: ticket), to: worker)
      } else {
        forget(ticket)
      }
    case .died(let name):
      for (identity, worker) in workers where worker.ready.name == name { lose(identity, blame: true) }
    case .stop: isStopping = true
    }
  }

  /// A job that this worker has, and no other.
  private func job(_ ticket: UInt64, of identity: [UInt8]) -> Job? {
    jobs[ticket].flatMap { $0.worker == identity ? $0 : nil }
  }

  private func finish(_ ticket: UInt64, _ identity: [UInt8], _ outcome: Result<StageResult, WireError>) {
    guard let job = job(ticket, of: identity) else { return countStrange() }
    workers[identity]?.jobs[job.call.lane]?.remove(ticket)
    workers[identity]?.progressed = .now
    job.call.finish(outcome)
    forget(ticket)
    dismissIfIdle(identity)
  }

  /// One that has said goodbye goes when its work is done.
  private func dismissIfIdle(_ identity: [UInt8]) {
    guard let worker = workers[identity], worker.isLeaving, worker.isIdle else { return }
    send(.stop, to: identity)
    lose(identity, blame: false)
  }

  func forget(_ ticket: UInt64) {
    guard let job = jobs.removeValue(forKey: ticket), job.worker == nil else { return }
    waiting[job.call.lane]?.removeAll { $0 == ticket }
  }

  private func publish() {
    var counts: [Pipeline.Stage: Int] = [:]
    for worker in workers.values { counts[worker.ready.stage, default: 0] += 1 }
    pool.withState { $0.counters.workers = counts }
  }

  private func countStrange() { pool.withState { $0.counters.strange += 1 } }

  /// Sends without waiting; a worker that has gone, or reads nothing, is missed soon.
  @discardableResult
  func send(_ message: MessageToWorker, to identity: [UInt8]) -> Bool {
    (try? socket.send([identity] + message.frames, timeout: 0)) != nil
  }
}
