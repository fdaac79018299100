import Wire
import ZeroMQ

/// The thread between clients and stages: reads requests, admits or refuses them, hands them from stage to stage, and
/// sends the replies. It never decodes a picture and never runs a model, so it is always quick to answer.
///
/// Made by one thread and then used by another alone, which is why it may cross over unchecked.
final class FrontEnd: @unchecked Sendable {
  let configuration: Configuration
  let pipeline: Pipeline
  /// Those who do what this process does not.
  let workers: WorkerPool?
  let cameras: Cameras?
  let log: @Sendable (String) -> Void
  let data: Socket
  let control: Socket
  let commands: Socket
  let lanes: [StageQueue]
  let jobs = JobTable()
  private(set) var dataEndpoints: [String] = []
  private(set) var controlEndpoints: [String] = []
  var active: [UInt64: Pending] = [:]
  var running: [AnswerCache.Key: UInt64] = [:]
  var activeBytes = 0
  /// How many of the active are frames of cameras.
  var framesInWork = 0
  var clients: [[UInt8]: Usage] = [:]
  var unread: UnreadReplies
  var pace: Pace
  /// Answers that took no work and wait for their turn.
  var delayed: [Delayed] = []
  var delayedCost = 0
  /// When somebody's work was finished last.
  var lastUse = ContinuousClock.now - .seconds(1)
  let incoming: IncomingGuard
  var answers: AnswerCache
  var metrics = Metrics()
  var isDraining = false
  /// When what is not done by then is given up.
  private var drainEnd: ContinuousClock.Instant?

  /// What the front end knows of a job.
  struct Pending {
    var job: Job
    var bytes: Int
    var key: AnswerCache.Key?
    /// Where the reply goes: one envelope for each time that the request was sent.
    var envelopes: [[[UInt8]]]
    /// Whose budget it is charged to.
    var client: [UInt8]
    /// How many partial replies went out.
    var sent = 0
    /// Which frame of a camera it is, if it is one.
    var frame: FrameSlots.Name?
  }

  static let commandEndpoint = "inproc://pandion/command"
  /// There are frames that could be begun.
  static let framesCommand: [UInt8] = [2]

  init(
    _ configuration: Configuration, _ pipeline: Pipeline, _ context: Context, secretKey: String? = nil,
    workers: WorkerPool? = nil, cameras: Cameras? = nil,
    log: @escaping @Sendable (String) -> Void
  ) throws(ZeroMQError) {
    (self.configuration, self.pipeline, self.log) = (configuration, pipeline, log)
    (self.workers, self.cameras) = (workers, cameras)
    answers = AnswerCache(capacity: configuration.rememberedAnswers, bytes: configuration.rememberedBytes)
    unread = UnreadReplies(perClient: configuration.unreadBytesPerClient, inAll: configuration.unreadBytes)
    pace = Pace(perSecond: configuration.refusalsPerSecond)
    // A frame larger than all blobs may be is not read at all. How much waits to be read by clients is bounded in bytes.
    let largest = max(pipeline.limits.blobBytes, pipeline.limits.headerBytes) + 1
    data = try Socket(
      context, .router, linger: configuration.linger, maxFrameBytes: largest, highWater: 0, receiveHighWater: 16)
    control = try Socket(
      context, .router, linger: configuration.linger, maxFrameBytes: 1 << 20, highWater: 0, receiveHighWater: 64)
    commands = try Socket(context, .pull)
    try commands.bind(Self.commandEndpoint)
    var lanes: [StageQueue] = []
    for lane in Lane.allCases { lanes.append(try StageQueue(lane, context, seats: configuration.seats(lane))) }
    self.lanes = lanes
    try data.guardAgainstStrangers()
    try control.guardAgainstStrangers()
    for endpoint in configuration.endpoints { dataEndpoints.append(try Self.bind(data, endpoint, secretKey)) }
    for endpoint in configuration.controlEndpoints {
      controlEndpoints.append(try Self.bind(control, endpoint, secretKey))
    }
    let bound = dataEndpoints + controlEndpoints + (workers?.boundEndpoints ?? [])
    let ports = IncomingGuard.ports(bound + (cameras.map { $0.endpoints + $0.results } ?? []))
    let publishers = IncomingGuard.ports(cameras?.settings.publishers ?? [])
    // Twice the limit, so that a message that is only somewhat too large is told so.
    let message = 2 * (pipeline.limits.blobBytes + pipeline.limits.headerBytes)
    let limits = IncomingGuard.Limits(message: message, all: max(configuration.queueBytes, message), growth: message)
    incoming = IncomingGuard(configuration.incoming ?? limits, ports: ports, remotePorts: publishers, log: log)
  }

  /// With a key, all but ipc speaks CURVE.
  static func bind(
    _ socket: borrowing Socket, _ endpoint: String, _ secretKey: String?, domain: String = Authenticator.domain
  ) throws(ZeroMQError) -> String {
    if let secretKey {
      if endpoint.hasPrefix("ipc://") {
        try socket.requireNothing(domain: Authenticator.localDomain)
      } else {
        try socket.requireCurve(secretKey: secretKey, domain: domain)
      }
    }
    return try socket.bind(endpoint)
  }

  /// Serves until it has been told to end and has finished what it accepted.
  func run() throws(ZeroMQError) {
    var poller = Poller()
    let dataIndex = poller.add(data)
    let controlIndex = poller.add(control)
    let commandIndex = poller.add(commands)
    var seats: [(index: Int, seat: StageQueue.Seat, queue: StageQueue)] = []
    for queue in lanes { for seat in queue.seats { seats.append((poller.add(seat.socket), seat, queue)) } }
    while !(isDraining && active.isEmpty) {
      poller.watch(dataIndex, mayRead)
      _ = try poller.wait(milliseconds: pause())
      sendDelayed()
      giveUpLate()
      if poller.isReady(commandIndex) { try receiveCommands() }
      if poller.isReady(controlIndex) { try receive(control, isControl: true) }
      for (index, seat, queue) in seats where poller.isReady(index) {
        while let ticket = try queue.takeFinished(seat) { try advance(ticket, from: queue.lane.stage) }
      }
      if poller.isReady(dataIndex) { try receive(data, isControl: false) }
      try startFrames()
    }
    // Whoever asked in the last moment is told so; what was sent before is on its way here for a moment yet.
    var last = Poller()
    last.add(data)
    let end = ContinuousClock.now + .seconds(1)
    while .now < end, try last.wait(milliseconds: 50) { try receive(data, isControl: false) }
    try receive(control, isControl: true)
    sendDelayed()
    for queue in lanes { try queue.stop() }
  }

  /// How long nothing need be done unless something comes, in milliseconds; nil where that is for ever.
  private func pause() -> Int? {
    var pauses: [Int] = []
    if !delayed.isEmpty { pauses.append(isInUse ? pace.delay() : 0) }
    let deadlines = lanes.compactMap(\.nextDeadline) + [drainEnd, answers.nextEnd].compactMap { $0 }
    if let next = deadlines.min() { pauses.append(max(0, Int(((next - .now).seconds * 1000).rounded(.up)))) }
    return pauses.min()
  }

  /// Refuses what has waited for longer than it was worth, and in the end whatever is not done when the daemon has to go.
  private func giveUpLate() {
    answers.forgetLate()
    for lane in lanes {
      for ticket in lane.removeLate() { refuse(ticket, beforeStage: lane.lane.stage) }
    }
    guard let end = drainEnd, .now >= end else { return }
    drainEnd = nil
    log("stopping: \(active.count) requests are not finished, and are given up")
    for (ticket, pending) in active {
      pending.job.cancel()
      finish(
        ticket, Reply(to: pending.job.request, WireError(.shuttingDown, "the daemon had to stop before it was done")))
    }
  }

  /// Answers a job that no stage has any more with why it goes no further.
  func refuse(_ ticket: UInt64, beforeStage stage: Pipeline.Stage) {
    guard let job = active[ticket]?.job else { return }
    do throws(WireError) {
      try job.checkWanted(stage)
    } catch {
      finish(ticket, Reply(to: job.request, error))
    }
  }

  /// A ticket tells that its job has something for a streaming client, and what is told of frames only wakes; anything else
  /// ends the daemon.
  private func receiveCommands() throws(ZeroMQError) {
    while let frames = try commands.receive()?.frames {
      guard let ticket = frames.first.flatMap(Ticket.read) else {
        if frames != [Self.framesCommand] { drain() }
        continue
      }
      sendPartials(ticket)
    }
  }

  private func sendPartials(_ ticket: UInt64) {
    guard var pending = active[ticket] else { return }
    for partial in pending.job.takePartials() {
      let frames = partial.numbered(pending.sent).frames
      for envelope in pending.envelopes { send(frames, to: envelope, on: data, isWork: true) }
      pending.sent += 1
    }
    active[ticket] = pending
  }

  func drain() {
    guard !isDraining else { return }
    isDraining = true
    drainEnd = .now + configuration.drainLimit
    log("stopping: \(active.count) requests to finish")
    cameras?.drain()
  }

  /// The longest that messages are taken at a time; stages wait meanwhile for their next job.
  private static let turn = Duration.microseconds(250)

  /// Takes messages, but not so many at once that stages wait for their next job.
  ///
  /// - Returns: whether there may be more.
  @discardableResult
  private func receive(_ socket: borrowing Socket, isControl: Bool) throws(ZeroMQError) -> Bool {
    let limits = pipeline.limits
    let kept = MessageLimits(frames: limits.blobs + 3, bytes: limits.blobBytes + limits.headerBytes + 4096)
    let start = ContinuousClock.now
    repeat {
      guard let message = try socket.receive(limits: kept) else { return false }
      if let connection = socket.lastConnection { self.incoming.note(connection) }
      guard let incoming = Incoming(message) else { continue }
      let cost = Delayed.cost(headerBytes: incoming.header.count)
      switch admit(incoming, isControl: isControl) {
      case .accepted: break
      case .answered(let reply):
        let code = reply.error?.code
        if let code { metrics.count(error: code) }
        // Who is told to come back shall hear it at once.
        if isControl || code == .busy || code == .shuttingDown {
          send(reply.frames, to: incoming.envelope, on: socket)
        } else {
          sendInTurn(reply.frames, to: incoming.envelope, cost: cost)
        }
      case .repeated(let frames): sendInTurn(frames, to: incoming.envelope, cost: cost)
      }
    } while ContinuousClock.now - start < Self.turn && (isControl || mayRead)
    return true
  }

  /// Where a job waits for a stage.
  func queue(_ stage: Pipeline.Stage, _ job: Job) -> StageQueue? {
    let lane = Lane(stage, job)
    return lanes.first { $0.lane == lane }
  }

  /// Hands a job on to its next stage, or its reply to whoever waits for it.
  private func advance(_ ticket: UInt64, from stage: Pipeline.Stage) throws(ZeroMQError) {
    sendPartials(ticket)
    guard let pending = active[ticket] else { return }
    if let next = pipeline.next(stage, pending.job), let queue = queue(next, pending.job) {
      return try queue.add(
        ticket, priority: pending.job.request.priority, client: pending.client, deadline: pending.job.deadline)
    }
    let request = pending.job.request
    finish(ticket, pending.job.reply ?? Reply(to: request, WireError(.internal, "no stage has answered")))
  }

  /// Answers a job, whose place and bytes are free then.
  private func finish(_ ticket: UInt64, _ reply: Reply) {
    guard let pending = active[ticket] else { return }
    let request = pending.job.request
    let frames = reply.numbered(pending.sent).frames
    active[ticket] = nil
    for envelope in pending.envelopes {
      if reply.error?.code == .badRequest {
        sendInTurn(frames, to: envelope)
      } else {
        send(frames, to: envelope, on: data, isWork: true)
      }
    }
    jobs.remove(ticket)
    if let frame = pending.frame {
      framesInWork -= 1
      answer(frame, reply)
    } else {
      release(pending.client, bytes: pending.bytes)
    }
    if let key = pending.key {
      running[key] = nil
      // Errors are not kept: some pass, and the others cost nothing to find again.
      if reply.error == nil { answers.keep(frames, for: key) }
    }
    if let error = reply.error { metrics.count(error: error.code) } else { lastUse = .now }
    metrics.took(request.operation.name, .now - pending.job.arrived)
    if let trace = request.trace {
      log("\(request.operation.name) trace=\(trace) \(reply.error?.code.rawValue ?? "ok")")
    }
  }

  /// Sends without waiting; a client that has gone, or reads nothing, loses its reply.
  ///
  /// - Parameter isWork: whether work went into it, for which there is room where refusals have taken theirs.
  func send(_ frames: [[UInt8]], to envelope: [[UInt8]], on socket: borrowing Socket, isWork: Bool = false) {
    let client = envelope[0]
    let bytes = frames.reduce(0) { $0 + $1.count + Ledger.frameBytes }
    guard unread.hasRoom(bytes, for: client, isWork: isWork) else {
      return lose("\(unread.bytes(of: client)) bytes wait for the client, \(unread.bytes) for all")
    }
    do {
      try socket.send(envelope + frames, timeout: 0, ledger: unread.ledger(of: client))
    } catch {
      lose("\(error)")
    }
  }

  private func lose(_ reason: String) {
    metrics.lost += 1
    // A client that reads nothing shall not fill the log either.
    if metrics.lost & (metrics.lost - 1) == 0 { log("\(metrics.lost) replies were lost: \(reason)") }
  }
}

/// A message taken apart: who sent it, and what it says.
struct Incoming {
  /// The client's routing id, and the empty delimiter if it sent one; a reply begins with the same.
  var envelope: [[UInt8]]
  var header: [UInt8]
  var blobs: [[UInt8]]
  /// How many blobs were sent, with those that were not kept.
  var sentBlobs: Int
  var droppedBytes: Int

  var client: [UInt8] { envelope[0] }

  /// What it takes. A header takes more once it is read: a list of one number in four bytes of it, some eighty.
  var bytes: Int { blobs.reduce(20 * header.count) { $0 + $1.count } }

  /// - Returns: nil for a message without sender, which a ROUTER does not give.
  init?(_ message: Multipart) {
    guard let client = message.frames.first else { return nil }
    envelope = [client]
    var rest = message.frames.dropFirst()
    if let first = rest.first, first.isEmpty {
      envelope.append([])
      rest = rest.dropFirst()
    }
    header = rest.first ?? []
    blobs = Array(rest.dropFirst())
    sentBlobs = max(0, message.sentFrames - envelope.count - 1)
    droppedBytes = message.droppedBytes
  }

  /// What there is too much of, if anything.
  func excess(_ limits: WireLimits) -> WireError? {
    if sentBlobs > limits.blobs {
      return WireError(.tooLarge, "the message has \(sentBlobs) blobs; at most \(limits.blobs) are read")
    }
    let bytes = blobs.reduce(droppedBytes) { $0 + $1.count }
    guard bytes > limits.blobBytes || droppedBytes > 0 else { return nil }
    return WireError(.tooLarge, "the blobs have \(bytes) bytes together; at most \(limits.blobBytes) are read")
  }
}
