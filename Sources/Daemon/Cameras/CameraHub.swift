import Wire
import ZeroMQ

/// The thread that talks to cameras and to those who want to know what is in their pictures. It copies frames and reads headers,
/// so that the front end's thread need not: `[stream][header][blob 0]…` in, the same out.
///
/// The library's CONFLATE would keep the newest message for us, but only of one frame and for all streams together.
///
/// Made by one thread and then used by another alone, which is why it may cross over unchecked.
final class CameraHub: @unchecked Sendable {
  /// What other threads ask of it.
  enum Order: Sendable {
    case publish([UInt8], Reply)
    case stop
  }

  private static let bellEndpoint = "inproc://pandion/cameras"

  private let cameras: Cameras
  /// From cameras that connect to us, and from those that we connect to.
  private let pushed: Socket
  private let published: Socket
  private let results: Socket
  private let bell: Socket
  /// Wakes the front end.
  private let front: Socket
  let mailbox: Mailbox<Order>
  private(set) var endpoints: [String] = []
  private(set) var boundResults: [String] = []
  private var pace = ReadingPace()

  init(_ cameras: Cameras, _ context: Context, secretKey: String?, linger: Int) throws(ZeroMQError) {
    self.cameras = cameras
    let (settings, limits) = (cameras.settings, cameras.limits)
    // What comes is taken at once, so that little waits in the library; where the cores are busy less would hold cameras up.
    let largest = max(limits.blobBytes, limits.headerBytes) + 1
    pushed = try Socket(context, .pull, maxFrameBytes: largest, highWater: 8)
    published = try Socket(context, .sub, maxFrameBytes: largest, highWater: 8)
    // What comes in here are subscriptions.
    results = try Socket(
      context, .pub, linger: linger, maxFrameBytes: 4096, highWater: settings.unread, receiveHighWater: 64)
    bell = try Socket(context, .pull)
    try bell.bind(Self.bellEndpoint)
    mailbox = try Mailbox(context, endpoint: Self.bellEndpoint)
    front = try Socket(context, .push)
    try front.connect(FrontEnd.commandEndpoint)
    try pushed.endIdleConnections()
    try published.endIdleConnections()
    try results.endIdleConnections()
    for endpoint in settings.endpoints { endpoints.append(try FrontEnd.bind(pushed, endpoint, secretKey)) }
    for endpoint in settings.results { boundResults.append(try FrontEnd.bind(results, endpoint, secretKey)) }
    for topic in settings.topics.isEmpty ? [""] : settings.topics { try published.subscribe(to: Array(topic.utf8)) }
    if let keys = settings.keys { try published.use(keys) }
    for endpoint in settings.publishers { try published.connect(endpoint) }
  }

  func run() throws(ZeroMQError) {
    var poller = Poller()
    let bellIndex = poller.add(bell)
    let pushedIndex = poller.add(pushed)
    let publishedIndex = poller.add(published)
    // Nothing is read from it, but it takes subscriptions in when it is looked at.
    poller.add(results)
    while true {
      let pause = pace.pause()
      poller.watch(pushedIndex, pause == nil)
      poller.watch(publishedIndex, pause == nil)
      _ = try poller.wait(milliseconds: pause)
      if poller.isReady(bellIndex) { while try bell.receive() != nil {} }
      for order in mailbox.takeAll() {
        switch order {
        case .publish(let stream, let reply): publish(stream, reply)
        case .stop: return
        }
      }
      if poller.isReady(pushedIndex) { try receive(pushed) }
      if poller.isReady(publishedIndex) { try receive(published) }
    }
  }

  /// Takes some of what is there; results are not to wait for long.
  private func receive(_ socket: borrowing Socket) throws(ZeroMQError) {
    let limits = cameras.limits
    let kept = MessageLimits(frames: limits.blobs + 3, bytes: limits.blobBytes + limits.headerBytes + 4096)
    for _ in 0..<8 {
      guard pace.pause() == nil, let message = try socket.receive(limits: kept) else { return }
      pace.count()
      if let connection = socket.lastConnection { cameras.incoming?.note(connection) }
      take(message)
    }
  }

  private func take(_ message: Multipart) {
    guard let incoming = Incoming(message), (1...255).contains(incoming.client.count),
      String(validating: incoming.client, as: UTF8.self) != nil
    else { return cameras.countUnnamed() }
    let stream = incoming.client
    let frame = read(incoming)
    let name: FrameSlots.Name
    do throws(WireError) {
      name = try cameras.arrive(stream)
    } catch {
      switch frame {
      case .failure(let refused): return publish(stream, refused.reply)
      case .success(let request): return publish(stream, Reply(to: request, error))
      }
    }
    switch frame {
    case .failure(let refused): publish(stream, cameras.refusal(name, refused.reply))
    case .success(let request):
      let bytes = incoming.bytes
      let frame = FrameSlots.Frame(
        name: name, request: request, blobs: incoming.blobs, bytes: bytes, arrived: .now)
      guard cameras.wait(frame) else {
        return publish(stream, cameras.refusal(name, Reply(to: request, Cameras.shuttingDown)))
      }
      // Where there is no room the front end is awake.
      try? front.send([FrontEnd.framesCommand], timeout: 0)
    }
  }

  private struct Refused: Error { let reply: Reply }

  private func read(_ incoming: Incoming) -> Result<Request, Refused> {
    var request: Request
    do throws(RefusedRequest) {
      request = try Request(header: incoming.header, blobs: incoming.sentBlobs, limits: cameras.limits)
    } catch {
      var refused = error
      refused.stream = false
      return .failure(Refused(reply: Reply(refused)))
    }
    // A frame has one result.
    request.stream = false
    if let error = incoming.excess(cameras.limits) { return .failure(Refused(reply: Reply(to: request, error))) }
    switch request.operation {
    case .segment, .auto, .label: return .success(request)
    default:
      let message = "op is '\(request.operation.name)'; of a camera's frame it is one of segment, auto, label"
      return .failure(Refused(reply: Reply(to: request, WireError(.badRequest, message))))
    }
  }

  private func publish(_ stream: [UInt8], _ reply: Reply) {
    let frames = [stream] + reply.frames
    let (bytes, held) = (frames.reduce(0) { $0 + $1.count }, cameras.unread.bytes)
    guard held == 0 || held + bytes <= cameras.settings.unreadBytes else {
      return cameras.countLost("\(held) bytes wait for subscribers")
    }
    do throws(ZeroMQError) {
      try results.send(frames, timeout: 0, ledger: cameras.unread)
    } catch {
      cameras.countLost("\(error)")
    }
  }
}

/// How fast messages are taken from cameras: a flood of them is not to take a core from those who compute. Many cameras come to
/// less; others wait where they are, which slows the sender.
struct ReadingPace {
  private static let most = 64
  private static let window = 10
  private var taken = 0
  private var since: ContinuousClock.Instant

  init(now: ContinuousClock.Instant = .now) { since = now }

  mutating func count() { taken += 1 }

  /// How long nothing is to be read, in milliseconds; nil if it may be now.
  mutating func pause(now: ContinuousClock.Instant = .now) -> Int? {
    if now - since >= .milliseconds(Self.window) { (taken, since) = (0, now) }
    guard taken >= Self.most else { return nil }
    return max(1, Self.window - Int((now - since).seconds * 1000))
  }
}
