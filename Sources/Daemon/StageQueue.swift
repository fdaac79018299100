import ZeroMQ

/// What waits for one stage, and the socket on which the stage takes it: a DEALER with one request out at a time, so that
/// priorities decide who is next, and not the order in which they came into a pipe.
final class StageQueue {
  let stage: Pipeline.Stage
  let socket: Socket
  private var waiting: [(ticket: UInt64, priority: Int)] = []
  private(set) var isBusy = false

  init(_ stage: Pipeline.Stage, _ context: Context) throws(ZeroMQError) {
    self.stage = stage
    socket = try Socket(context, .dealer)
    try socket.bind(StageWorker.endpoint(stage))
  }

  var count: Int { waiting.count + (isBusy ? 1 : 0) }

  /// Queues a job behind those of its priority.
  func add(_ ticket: UInt64, priority: Int) throws(ZeroMQError) {
    let index = waiting.firstIndex { $0.priority < priority } ?? waiting.count
    waiting.insert((ticket, priority), at: index)
    try dispatch()
  }

  /// Takes a finished job from the stage, and gives it the next.
  func takeFinished() throws(ZeroMQError) -> UInt64? {
    guard let frames = try socket.receive()?.frames, let ticket = frames.last.flatMap(Ticket.read) else { return nil }
    isBusy = false
    try dispatch()
    return ticket
  }

  func stop() throws(ZeroMQError) { try socket.send([[], []], timeout: 1000) }

  private func dispatch() throws(ZeroMQError) {
    guard !isBusy, !waiting.isEmpty else { return }
    isBusy = true
    // The empty frame is the envelope that a REP socket expects.
    try socket.send([[], Ticket.frame(waiting.removeFirst().ticket)], timeout: 1000)
  }
}
