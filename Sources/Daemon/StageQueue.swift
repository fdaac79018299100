import Wire
import ZeroMQ

/// A way into a stage: a queue and a thread of its own. What is quick does not wait behind what is long.
enum Lane: String, CaseIterable {
  /// Stage "segment": pictures, clicks and boxes.
  case segment
  /// Stage "segment" too: masks of everything, which give way to clicks between prompts.
  case automatic
  case extract
  case language

  var stage: Pipeline.Stage {
    switch self {
    case .segment, .automatic: .segment
    case .extract: .extract
    case .language: .language
    }
  }

  /// The lane of a job that goes to a stage.
  init(_ stage: Pipeline.Stage, _ request: Request) {
    switch stage {
    case .segment: self = request.operation.isAutomatic ? .automatic : .segment
    case .extract: self = .extract
    case .language: self = .language
    }
  }
}

extension Request.Operation {
  /// Whether masks of everything are to be found.
  var isAutomatic: Bool {
    switch self {
    case .auto: true
    case .label(let request): if case .auto = request.regions { true } else { false }
    default: false
    }
  }
}

/// What waits in one lane, and the socket on which the stage takes it: a DEALER with one request out at a time, so that
/// priorities decide who is next, and not the order in which they came into a pipe.
final class StageQueue {
  let lane: Lane
  let socket: Socket
  private var waiting: [(ticket: UInt64, priority: Int)] = []
  private(set) var isBusy = false

  init(_ lane: Lane, _ context: Context) throws(ZeroMQError) {
    self.lane = lane
    socket = try Socket(context, .dealer)
    try socket.bind(StageWorker.endpoint(lane))
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
