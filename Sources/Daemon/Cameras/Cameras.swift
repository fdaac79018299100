import Foundation
import Synchronization
import Wire
import ZeroMQ

/// The cameras: what they sent and nobody has looked at yet, and the thread that talks to them. Any thread may call it.
final class Cameras: Sendable {
  /// Whose jobs frames are: all cameras together have one client's turn where they wait with clients. No client has this name,
  /// since the library gives names of five bytes that begin with 0, and takes none.
  static let client: [UInt8] = [0] + Array("cameras".utf8)

  let settings: CameraSettings
  let limits: WireLimits
  let log: @Sendable (String) -> Void
  /// Results that subscribers have not read yet.
  let unread = Ledger()
  private let slots: Mutex<FrameSlots>
  private let state = Mutex<State>(State())
  private let finished = DispatchSemaphore(value: 0)

  private struct State {
    var mailbox: Mailbox<CameraHub.Order>?
    var incoming: IncomingGuard?
    var endpoints: [String] = []
    var results: [String] = []
    /// Messages that do not tell which stream they are of.
    var unnamed = 0
    /// Results that there was no room for.
    var lost = 0
  }

  init(_ settings: CameraSettings, limits: WireLimits, log: @escaping @Sendable (String) -> Void) {
    (self.settings, self.limits, self.log) = (settings, limits, log)
    slots = Mutex(FrameSlots(settings))
  }

  /// Where frames come in and results leave, with the ports that they became.
  var endpoints: [String] { state.withLock { $0.endpoints } }
  var results: [String] { state.withLock { $0.results } }

  /// Listens, connects and starts the thread.
  func start(_ context: Context, secretKey: String?, linger: Int) throws(ZeroMQError) {
    let hub = try CameraHub(self, context, secretKey: secretKey, linger: linger)
    state.withLock { ($0.mailbox, $0.endpoints, $0.results) = (hub.mailbox, hub.endpoints, hub.boundResults) }
    let holder = Holder(hub)
    let thread = Thread { [self] in
      holder.run { self.log("the cameras' thread failed: \($0)") }
      finished.signal()
    }
    thread.name = "pandion-cameras"
    thread.start()
  }

  /// Sends what was answered, and ends the thread.
  func stop() {
    guard let mailbox = state.withLock({ $0.mailbox }) else { return }
    mailbox.put(.stop)
    finished.wait()
    finished.signal()
  }

  // MARK: For the thread of the sockets

  /// Who looks after what comes over TCP and is no message yet.
  var incoming: IncomingGuard? {
    get { state.withLock { $0.incoming } }
    set { state.withLock { $0.incoming = newValue } }
  }

  func countUnnamed() { state.withLock { $0.unnamed += 1 } }

  func countLost(_ reason: String) {
    let lost = state.withLock { state in
      state.lost += 1
      return state.lost
    }
    // Subscribers that read nothing shall not fill the log either.
    if lost & (lost - 1) == 0 { log("\(lost) results of cameras were lost: \(reason)") }
  }

  func arrive(_ stream: [UInt8]) throws(WireError) -> FrameSlots.Name {
    try slots.withLock { slots throws(WireError) in try slots.arrive(stream) }
  }

  /// - Returns: false once nothing more is begun.
  func wait(_ frame: FrameSlots.Frame) -> Bool { slots.withLock { $0.wait(frame) } }

  /// The answer of a frame that is not begun.
  func refusal(_ name: FrameSlots.Name, _ reply: Reply) -> Reply {
    reply.of(name, dropped: slots.withLock { $0.answer(name.stream, isError: true) })
  }

  // MARK: For the front end

  /// The frame to be begun now, if there is one.
  func next() -> FrameSlots.Frame? { slots.withLock { $0.next() } }

  /// Publishes what became of a frame that was begun.
  ///
  /// - Returns: the picture of the stream's frame before, which nobody is told of any more.
  func answer(_ name: FrameSlots.Name, _ reply: Reply) -> String? {
    let handle = reply.header["image"]?["handle"]?.string
    let (dropped, previous) = slots.withLock {
      $0.finish(name.stream, isError: reply.error != nil, handle: handle)
    }
    publish(name.stream, reply.of(name, dropped: dropped))
    return previous
  }

  /// Begins nothing more; frames that wait are refused.
  func drain() {
    for frame in slots.withLock({ $0.drain() }) {
      publish(frame.name.stream, refusal(frame.name, Reply(to: frame.request, Self.shuttingDown)))
    }
  }

  static let shuttingDown = WireError(.shuttingDown, "the daemon is stopping", retryAfterMilliseconds: 1000)

  private func publish(_ stream: [UInt8], _ reply: Reply) {
    _ = state.withLock { $0.mailbox }?.put(.publish(stream, reply))
  }

  var stats: JSONValue {
    let (streams, bytes, turnedAway) = slots.withLock { ($0.counts, $0.bytes, $0.turnedAway) }
    let (unnamed, lost) = state.withLock { ($0.unnamed, $0.lost) }
    return JSONValue(entries: [
      ("streams", streams), ("bytes", .integer(bytes)), ("unnamed", .integer(unnamed)),
      ("turned_away", .integer(turnedAway)), ("unread_bytes", .integer(unread.bytes)), ("lost", .integer(lost)),
    ])
  }
}

extension Reply {
  /// With the number of the frame that it answers.
  fileprivate func of(_ name: FrameSlots.Name, dropped: Int) -> Reply {
    Reply(header: header.appending([("seq", .integer(name.seq)), ("dropped", .integer(dropped))]), blobs: blobs)
  }
}

/// Lets go of the hub, and so closes its sockets, before anybody is told that it has finished.
private final class Holder: @unchecked Sendable {
  private var hub: CameraHub?
  init(_ hub: CameraHub) { self.hub = hub }

  func run(_ failed: (ZeroMQError) -> Void) {
    do throws(ZeroMQError) { try hub?.run() } catch { failed(error) }
    _ = hub?.mailbox.close()
    hub = nil
  }
}
