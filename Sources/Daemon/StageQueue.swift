import Wire
import ZeroMQ

/// A way into a stage: a queue and a thread of its own. What is quick does not wait behind what is long.
public enum Lane: String, CaseIterable, Sendable {
  /// Stage "segment": pictures, clicks and boxes.
  case segment
  /// Stage "segment" too: masks of everything and whatever else takes long, which give way to clicks between prompts.
  case automatic
  /// Stage "segment" too: clicks and boxes in frames of cameras, which give way likewise, and wait for no masks of everything.
  case frames
  case extract
  case language

  var stage: Pipeline.Stage {
    switch self {
    case .segment, .automatic, .frames: .segment
    case .extract: .extract
    case .language: .language
    }
  }

  /// The lane of a job that goes to a stage.
  init(_ stage: Pipeline.Stage, _ job: Job) {
    switch stage {
    case .segment: self = job.request.operation.takesLong ? .automatic : job.isFrame ? .frames : .segment
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

  /// Whether clicks shall not wait behind it: masks of everything, and more prompts or masks than are done in a moment.
  var takesLong: Bool {
    switch self {
    case .segment(let request): Self.takeLong(request.prompts, request.masks)
    case .label(let request):
      switch request.regions {
      case .auto: true
      case .prompts(let prompts, _): Self.takeLong(prompts, request.masks)
      case .masks(let masks): masks.count > 512
      }
    default: isAutomatic
    }
  }

  private static func takeLong(_ prompts: [WirePrompt], _ masks: MaskEncoding) -> Bool {
    // To write a mask of a large picture so takes as long as to find several.
    let isSlow = masks == .png || masks == .polygon
    return prompts.count > (isSlow ? 8 : 64)
  }
}

/// What waits in one lane, and the seats in which the stage takes it.
final class StageQueue {
  /// A worker's place: a DEALER with one request out at a time, so that priorities decide who is next, and not the order in
  /// which they came into a pipe.
  final class Seat {
    let socket: Socket
    fileprivate var isBusy = false

    fileprivate init(_ context: Context, _ endpoint: String) throws(ZeroMQError) {
      socket = try Socket(context, .dealer)
      try socket.bind(endpoint)
    }
  }

  let lane: Lane
  let seats: [Seat]
  private var waiting: [Waiting] = []
  /// The job begun last.
  private var last = Waiting(ticket: 0, priority: 0, client: [], turn: 0)

  private struct Waiting {
    var ticket: UInt64
    var priority: Int
    var client: [UInt8]
    /// Clients take turns: each one's jobs have turns one after the other, and the first is the one under way.
    var turn: Int
    /// When it is not worth beginning any more.
    var deadline: ContinuousClock.Instant?
  }

  /// - Parameter seats: how many jobs are worked on at a time.
  init(_ lane: Lane, _ context: Context, seats: Int) throws(ZeroMQError) {
    self.lane = lane
    var made: [Seat] = []
    for seat in 0..<seats { made.append(try Seat(context, StageWorker.endpoint(lane, seat: seat))) }
    self.seats = made
  }

  /// Takes back a job that no seat has begun.
  ///
  /// - Returns: whether it waited here.
  func remove(_ ticket: UInt64) -> Bool {
    guard let index = waiting.firstIndex(where: { $0.ticket == ticket }) else { return false }
    waiting.remove(at: index)
    return true
  }

  /// When the next of those that wait will not be worth beginning any more.
  var nextDeadline: ContinuousClock.Instant? { waiting.compactMap(\.deadline).min() }

  /// Takes back those that are not worth beginning any more.
  func removeLate(now: ContinuousClock.Instant = .now) -> [UInt64] {
    let late = waiting.filter { $0.deadline.map { $0 <= now } ?? false }.map(\.ticket)
    if !late.isEmpty { waiting.removeAll { late.contains($0.ticket) } }
    return late
  }

  var count: Int { seats.reduce(waiting.count) { $0 + ($1.isBusy ? 1 : 0) } }

  /// Queues a job behind those of its priority that came before, but not behind more of another client's than of its own.
  func add(
    _ ticket: UInt64, priority: Int, client: [UInt8], deadline: ContinuousClock.Instant? = nil
  ) throws(ZeroMQError) {
    var turn = last.turn
    if let own = waiting.last(where: { $0.client == client }) ?? (last.client == client ? last : nil) {
      turn = max(turn, own.turn + 1)
    }
    let index =
      waiting.firstIndex { $0.priority < priority || $0.priority == priority && $0.turn > turn } ?? waiting.count
    waiting.insert(
      Waiting(ticket: ticket, priority: priority, client: client, turn: turn, deadline: deadline), at: index)
    try dispatch()
  }

  /// Takes a finished job from a seat, and gives it the next.
  func takeFinished(_ seat: Seat) throws(ZeroMQError) -> UInt64? {
    guard let frames = try seat.socket.receive()?.frames, let ticket = frames.last.flatMap(Ticket.read) else {
      return nil
    }
    seat.isBusy = false
    try dispatch()
    return ticket
  }

  func stop() throws(ZeroMQError) {
    for seat in seats { try seat.socket.send([[], []], timeout: 1000) }
  }

  private func dispatch() throws(ZeroMQError) {
    while !waiting.isEmpty, let seat = seats.first(where: { !$0.isBusy }) {
      seat.isBusy = true
      let next = waiting.removeFirst()
      // A later turn may have gone first by its priority.
      if next.turn >= last.turn { last = next }
      // The empty frame is the envelope that a REP socket expects.
      try seat.socket.send([[], Ticket.frame(next.ticket)], timeout: 1000)
    }
  }
}
