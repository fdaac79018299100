import Wire
import ZeroMQ

/// The thread between clients and stages: reads requests, admits or refuses them, hands them from stage to stage, and
/// sends the replies. It never decodes a picture and never runs a model, so it is always quick to answer.
///
/// Made by one thread and then used by another alone, which is why it may cross over unchecked.
final class FrontEnd: @unchecked Sendable {
  let configuration: Configuration
  let pipeline: Pipeline
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
  var clients: [[UInt8]: Usage] = [:]
  var answers: AnswerCache
  var metrics = Metrics()
  var isDraining = false

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
  }

  static let commandEndpoint = "inproc://pandion/command"

  init(
    _ configuration: Configuration, _ pipeline: Pipeline, _ context: Context, secretKey: String? = nil,
    log: @escaping @Sendable (String) -> Void
  ) throws(ZeroMQError) {
    (self.configuration, self.pipeline, self.log) = (configuration, pipeline, log)
    answers = AnswerCache(capacity: configuration.rememberedAnswers, bytes: configuration.rememberedBytes)
    // A frame larger than all blobs may be is not read at all.
    let largest = max(pipeline.limits.blobBytes, pipeline.limits.headerBytes) + 1
    data = try Socket(context, .router, linger: configuration.linger, maxFrameBytes: largest, highWater: 64)
    control = try Socket(context, .router, linger: configuration.linger, maxFrameBytes: 1 << 20, highWater: 64)
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
  }

  /// With a key, all but ipc speaks CURVE.
  private static func bind(
    _ socket: borrowing Socket, _ endpoint: String, _ secretKey: String?
  ) throws(ZeroMQError) -> String {
    if let secretKey {
      if endpoint.hasPrefix("ipc://") {
        try socket.requireNothing(domain: Authenticator.localDomain)
      } else {
        try socket.requireCurve(secretKey: secretKey, domain: Authenticator.domain)
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
      _ = try poller.wait(milliseconds: nil)
      if poller.isReady(commandIndex) { try receiveCommands() }
      if poller.isReady(controlIndex) { try receive(control, isControl: true) }
      for (index, seat, queue) in seats where poller.isReady(index) {
        while let ticket = try queue.takeFinished(seat) { try advance(ticket, from: queue.lane.stage) }
      }
      if poller.isReady(dataIndex) { try receive(data, isControl: false) }
    }
    // Whoever asked in the last moment is told so.
    try receive(data, isControl: false)
    try receive(control, isControl: true)
    for queue in lanes { try queue.stop() }
  }

  /// A ticket tells that its job has something for a streaming client; anything else ends the daemon.
  private func receiveCommands() throws(ZeroMQError) {
    while let frames = try commands.receive()?.frames {
      guard let ticket = frames.first.flatMap(Ticket.read) else {
        drain()
        continue
      }
      sendPartials(ticket)
    }
  }

  private func sendPartials(_ ticket: UInt64) {
    guard var pending = active[ticket] else { return }
    for partial in pending.job.takePartials() {
      let frames = partial.numbered(pending.sent).frames
      for envelope in pending.envelopes { send(frames, to: envelope, on: data) }
      pending.sent += 1
    }
    active[ticket] = pending
  }

  func drain() {
    guard !isDraining else { return }
    isDraining = true
    log("stopping: \(active.count) requests to finish")
  }

  /// Takes messages, but not so many at once that stages wait for their next job.
  private func receive(_ socket: borrowing Socket, isControl: Bool) throws(ZeroMQError) {
    let limits = pipeline.limits
    let kept = MessageLimits(frames: limits.blobs + 3, bytes: limits.blobBytes + limits.headerBytes + 4096)
    for _ in 0..<16 {
      guard let message = try socket.receive(limits: kept) else { return }
      guard let incoming = Incoming(message) else { continue }
      switch admit(incoming, isControl: isControl) {
      case .accepted: break
      case .answered(let reply):
        if let error = reply.error { metrics.count(error: error.code) }
        send(reply.frames, to: incoming.envelope, on: socket)
      case .repeated(let frames): send(frames, to: incoming.envelope, on: socket)
      }
    }
  }

  /// Where a job waits for a stage.
  func queue(_ stage: Pipeline.Stage, _ request: Request) -> StageQueue? {
    let lane = Lane(stage, request)
    return lanes.first { $0.lane == lane }
  }

  /// Hands a job on to its next stage, or its reply to whoever waits for it.
  private func advance(_ ticket: UInt64, from stage: Pipeline.Stage) throws(ZeroMQError) {
    sendPartials(ticket)
    guard let pending = active[ticket] else { return }
    if let next = pipeline.next(stage, pending.job), let queue = queue(next, pending.job.request) {
      return try queue.add(ticket, priority: pending.job.request.priority)
    }
    let request = pending.job.request
    let reply = pending.job.reply ?? Reply(to: request, WireError(.internal, "no stage has answered"))
    let frames = reply.numbered(pending.sent).frames
    for envelope in pending.envelopes { send(frames, to: envelope, on: data) }
    active[ticket] = nil
    jobs.remove(ticket)
    release(pending.client, bytes: pending.bytes)
    if let key = pending.key {
      running[key] = nil
      // Errors are not kept: some pass, and the others cost nothing to find again.
      if reply.error == nil { answers.keep(frames, for: key) }
    }
    if let error = reply.error { metrics.count(error: error.code) }
    metrics.took(request.operation.name, .now - pending.job.arrived)
    if let trace = request.trace {
      log("\(request.operation.name) trace=\(trace) \(reply.error?.code.rawValue ?? "ok")")
    }
  }

  /// Sends without waiting; a client that has gone, or reads nothing, loses its reply.
  private func send(_ frames: [[UInt8]], to envelope: [[UInt8]], on socket: borrowing Socket) {
    do {
      try socket.send(envelope + frames, timeout: 0)
    } catch {
      metrics.lost += 1
      // A client that reads nothing shall not fill the log either.
      if metrics.lost & (metrics.lost - 1) == 0 { log("\(metrics.lost) replies were lost: \(error)") }
    }
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
}
