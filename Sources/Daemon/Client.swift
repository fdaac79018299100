import Wire
import ZeroMQ

/// Asks a running daemon: one request at a time.
public struct Client: ~Copyable {
  public let endpoint: String
  private let socket: Socket
  private let timeout: Int

  /// - Parameters:
  ///   - endpoint: for instance `tcp://127.0.0.1:5560`.
  ///   - timeout: how long an answer may take, in milliseconds.
  public init(endpoint: String, timeout: Int = 600_000) throws(DaemonError) {
    self.endpoint = endpoint
    self.timeout = timeout
    socket = try sockets { () throws(ZeroMQError) in
      let socket = try Socket(Context(), .dealer)
      try socket.connect(endpoint)
      return socket
    }
  }

  /// Sends a request and waits for its final reply, which may be an error of the daemon's.
  public func call(_ request: Request, blobs: [[UInt8]] = []) throws(DaemonError) -> Reply {
    try send([request.header.serialized()] + blobs)
    while true {
      let reply = try receive()
      // A reply to an earlier request that was given up may come first.
      if reply.header["id"]?.string == request.id, reply.header["final"]?.bool ?? true { return reply }
    }
  }

  func send(_ frames: [[UInt8]]) throws(DaemonError) {
    try sockets { () throws(ZeroMQError) in try socket.send(frames, timeout: timeout) }
  }

  func receive() throws(DaemonError) -> Reply {
    let limits = MessageLimits(frames: 1 << 16, bytes: 1 << 30)
    let message = try sockets { () throws(ZeroMQError) in try socket.receive(timeout: timeout, limits: limits) }
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
