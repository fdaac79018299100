import Wire
import ZeroMQ

/// Asks a running daemon: one request at a time.
public struct Client: ~Copyable {
  public let endpoint: String
  private let socket: Socket

  /// - Parameters:
  ///   - endpoint: for instance `tcp://127.0.0.1:5560`.
  ///   - keys: where the daemon asks for some; one that does not let them in does not answer.
  public init(endpoint: String, keys: GuestKeys? = nil) throws(DaemonError) {
    self.endpoint = endpoint
    socket = try sockets { () throws(ZeroMQError) in
      let socket = try Socket(Context(), .dealer)
      if let keys { try socket.use(keys) }
      try socket.connect(endpoint)
      return socket
    }
  }

  /// Sends a request and waits for its final reply, which may be an error of the daemon's.
  ///
  /// - Parameter timeout: how long each reply may take.
  public func send(
    _ request: Request, blobs: [[UInt8]] = [], timeout: Duration = .seconds(600)
  ) throws(DaemonError) -> Reply {
    let parts = timeout.components
    let milliseconds = Int(min(max(parts.seconds, 0), 86_400)) * 1000 + Int(parts.attoseconds / 1_000_000_000_000_000)
    try send(frames: [request.header.serialized()] + blobs, milliseconds: milliseconds)
    while true {
      let reply = try receive(milliseconds: milliseconds)
      // A reply to an earlier request that was given up may come first.
      if reply.header["id"]?.string == request.id, reply.header["final"]?.bool ?? true { return reply }
    }
  }

  func send(frames: [[UInt8]], milliseconds: Int) throws(DaemonError) {
    try sockets { () throws(ZeroMQError) in try socket.send(frames, timeout: milliseconds) }
  }

  func receive(milliseconds: Int) throws(DaemonError) -> Reply {
    let limits = MessageLimits(frames: 1 << 16, bytes: 1 << 30)
    let message = try sockets { () throws(ZeroMQError) in try socket.receive(timeout: milliseconds, limits: limits) }
    guard message.droppedFrames == 0, let first = message.frames.first else {
      throw .badReply(endpoint: endpoint, reason: "it has more than \(limits.bytes) bytes")
    }
    do throws(JSONError) {
      let header = try JSONValue(parsing: first, limits: JSONLimits(bytes: limits.bytes, depth: 64))
      return Reply(header: header, blobs: Array(message.frames.dropFirst()))
    } catch {
      throw .badReply(endpoint: endpoint, reason: "\(error)")
    }
  }
}
