import CZeroMQ

/// The kinds of sockets that this project uses.
public enum SocketKind: Sendable {
  case router, dealer, req, rep, push, pull, pub, sub, pair

  var raw: Int32 {
    switch self {
    case .router: ZMQ_ROUTER
    case .dealer: ZMQ_DEALER
    case .req: ZMQ_REQ
    case .rep: ZMQ_REP
    case .push: ZMQ_PUSH
    case .pull: ZMQ_PULL
    case .pub: ZMQ_PUB
    case .sub: ZMQ_SUB
    case .pair: ZMQ_PAIR
    }
  }
}

/// A socket with one owner. The library allows one thread at a time, which unique ownership gives: whoever holds the
/// value may use it, and it closes when the owner lets it go.
public struct Socket: ~Copyable, Sendable {
  let handle: SocketHandle

  /// - Parameters:
  ///   - linger: how long closing waits for unsent messages, in milliseconds.
  ///   - maxFrameBytes: a peer that sends a larger frame is disconnected by the library before memory is spent on it.
  ///   - highWater: how many messages may wait in each direction for each peer; 0 takes any number.
  ///   - receiveHighWater: how many of those that came, where it differs.
  public init(
    _ context: Context, _ kind: SocketKind, linger: Int = 0, maxFrameBytes: Int? = nil, highWater: Int = 1000,
    receiveHighWater: Int? = nil
  ) throws(ZeroMQError) {
    guard let raw = zmq_socket(context.pointer.raw, kind.raw) else { throw .last("make", "a \(kind) socket") }
    let handle = SocketHandle(raw, context: context)
    try handle.set(ZMQ_LINGER, Int32(clamping: linger))
    try handle.set(ZMQ_SNDHWM, Int32(clamping: highWater))
    try handle.set(ZMQ_RCVHWM, Int32(clamping: receiveHighWater ?? highWater))
    if let maxFrameBytes { try handle.set(ZMQ_MAXMSGSIZE, Int64(maxFrameBytes)) }
    self.handle = handle
  }

  /// Listens; port `*` takes any free port.
  /// - Returns: the endpoint with the port that it became.
  @discardableResult
  public func bind(_ endpoint: String) throws(ZeroMQError) -> String {
    try Self.checkPort(endpoint, "listen on")
    guard zmq_bind(handle.raw, endpoint) == 0 else { throw .last("listen on", endpoint) }
    let bound = lastEndpoint ?? endpoint
    handle.note(bound)
    return bound
  }

  /// Connects, now or whenever the other side is there.
  public func connect(_ endpoint: String) throws(ZeroMQError) {
    try Self.checkPort(endpoint, "connect to")
    guard zmq_connect(handle.raw, endpoint) == 0 else { throw .last("connect to", endpoint) }
    handle.note(endpoint)
  }

  /// The library takes the lower sixteen bits of a port that there cannot be.
  private static func checkPort(_ endpoint: String, _ operation: String) throws(ZeroMQError) {
    guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":"),
      let port = Int(endpoint[endpoint.index(after: colon)...]), port > 65_535
    else { return }
    throw .failed(operation: operation, endpoint: endpoint, errno: EINVAL)
  }

  /// Has a SUB take messages whose first frame begins so.
  public func subscribe(to topic: [UInt8]) throws(ZeroMQError) {
    let status = topic.withUnsafeBytes { zmq_setsockopt(handle.raw, ZMQ_SUBSCRIBE, $0.baseAddress, $0.count) }
    guard status == 0 else { throw .last("subscribe to", handle.endpoint) }
  }

  /// Stops listening on an endpoint; connections that are made already stay.
  public func unbind(_ endpoint: String) throws(ZeroMQError) {
    guard zmq_unbind(handle.raw, endpoint) == 0 else { throw .last("stop listening on", endpoint) }
  }

  /// The name under which a ROUTER knows this socket over several connections.
  public func setRoutingID(_ bytes: [UInt8]) throws(ZeroMQError) {
    let status = bytes.withUnsafeBytes { zmq_setsockopt(handle.raw, ZMQ_ROUTING_ID, $0.baseAddress, $0.count) }
    guard status == 0 else { throw .last("name", handle.endpoint) }
  }

  /// Sends a message of several frames.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait for room, in milliseconds; nil waits for ever, 0 not at all.
  ///   - ledger: has the frames' bytes until the library lets go of them.
  public func send(_ frames: [[UInt8]], timeout: Int? = nil, ledger: Ledger? = nil) throws(ZeroMQError) {
    precondition(!frames.isEmpty, "a message has at least one frame")
    if let timeout, try !wait(ZMQ_POLLOUT, milliseconds: timeout) {
      throw .timedOut(operation: "send to", endpoint: handle.endpoint, milliseconds: timeout)
    }
    for (index, frame) in frames.enumerated() {
      guard let message = Message(frame, ledger: ledger) else {
        throw .last("hold \(frame.count) bytes for", handle.endpoint)
      }
      // Once the first frame has gone in, the library takes the others without waiting.
      let flags = (index + 1 < frames.count ? ZMQ_SNDMORE : 0) | (timeout == nil ? 0 : ZMQ_DONTWAIT)
      while message.send(to: handle.raw, flags: flags) < 0 {
        guard zmq_errno() == EINTR else { throw .last("send to", handle.endpoint) }
      }
    }
  }

  /// Takes the next message if one is there already, keeping no more than the limits.
  public func receive(limits: MessageLimits = .default) throws(ZeroMQError) -> Multipart? {
    var result = Multipart([])
    var bytes = 0
    let message = Message()
    repeat {
      while message.receive(from: handle.raw, flags: ZMQ_DONTWAIT) < 0 {
        let code = zmq_errno()
        if code == EINTR { continue }
        // Frames of one message come together, so there is nothing to wait for after the first.
        if code == EAGAIN && result.sentFrames == 0 { return nil }
        throw .failed(operation: "receive from", endpoint: handle.endpoint, errno: code)
      }
      let size = message.count
      if result.droppedFrames > 0 || result.frames.count == limits.frames || size > limits.bytes - bytes {
        result.droppedFrames += 1
        result.droppedBytes += size
      } else {
        result.frames.append(message.bytes)
        bytes += size
      }
      if !message.hasMore { handle.lastConnection = message.connection }
    } while message.hasMore
    return result
  }

  /// The descriptor of the connection over which the last message came, where it came over one. It may be closed by now.
  public var lastConnection: Int32? { handle.lastConnection }

  /// Waits for a message.
  ///
  /// - Parameter timeout: in milliseconds; nil waits for ever.
  public func receive(timeout: Int?, limits: MessageLimits = .default) throws(ZeroMQError) -> Multipart {
    guard try wait(ZMQ_POLLIN, milliseconds: timeout), let message = try receive(limits: limits) else {
      throw .timedOut(operation: "receive from", endpoint: handle.endpoint, milliseconds: timeout ?? -1)
    }
    return message
  }

  private func wait(_ events: Int32, milliseconds: Int?) throws(ZeroMQError) -> Bool {
    var poller = Poller()
    poller.add(self, events)
    return try poller.wait(milliseconds: milliseconds)
  }

  private var lastEndpoint: String? {
    var buffer = [UInt8](repeating: 0, count: 512)
    var count = buffer.count
    let status = buffer.withUnsafeMutableBytes { zmq_getsockopt(handle.raw, ZMQ_LAST_ENDPOINT, $0.baseAddress, &count) }
    guard status == 0, count > 0 else { return nil }
    return String(decoding: buffer[..<(count - 1)], as: UTF8.self)
  }
}

/// A socket's pointer, held by the socket and by pollers that watch it, and closed by the last of them.
final class SocketHandle: @unchecked Sendable {
  let raw: UnsafeMutableRawPointer
  private(set) var endpoint = "a socket without endpoint"
  fileprivate(set) var lastConnection: Int32?
  private let context: Context

  init(_ raw: UnsafeMutableRawPointer, context: Context) {
    self.raw = raw
    self.context = context
  }

  func set<Value: FixedWidthInteger>(_ option: Int32, _ value: Value) throws(ZeroMQError) {
    var value = value
    guard zmq_setsockopt(raw, option, &value, MemoryLayout<Value>.size) == 0 else {
      throw .last("set an option of", "a socket")
    }
  }

  func note(_ endpoint: String) { self.endpoint = endpoint }

  deinit { zmq_close(raw) }
}
