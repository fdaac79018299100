import CZeroMQ

/// Waits for several sockets at once.
public struct Poller: ~Copyable {
  private var items: [zmq_pollitem_t] = []
  // A socket that is watched does not close under the poller.
  private var handles: [SocketHandle] = []

  public init() {}

  /// Watches a socket for messages.
  /// - Returns: its index here, for `isReady`.
  @discardableResult
  public mutating func add(_ socket: borrowing Socket) -> Int { add(socket, ZMQ_POLLIN) }

  @discardableResult
  mutating func add(_ socket: borrowing Socket, _ events: Int32) -> Int {
    items.append(zmq_pollitem_t(socket: socket.handle.raw, fd: 0, events: Int16(events), revents: 0))
    handles.append(socket.handle)
    return items.count - 1
  }

  /// Whether the socket counts, from the next `wait` on.
  public mutating func watch(_ index: Int, _ isWatched: Bool) {
    items[index].events = isWatched ? Int16(ZMQ_POLLIN) : 0
  }

  /// Waits until a socket is ready.
  ///
  /// - Parameter milliseconds: how long at most; nil waits for ever.
  /// - Returns: whether one is ready; false when the time has passed.
  public mutating func wait(milliseconds: Int?) throws(ZeroMQError) -> Bool {
    let start = ContinuousClock.now
    while true {
      var left = -1
      if let milliseconds {
        let passed = (ContinuousClock.now - start).components
        left = max(0, milliseconds - Int(passed.seconds) * 1000 - Int(passed.attoseconds / 1_000_000_000_000_000))
      }
      let ready = zmq_poll(&items, Int32(items.count), left)
      if ready >= 0 { return ready > 0 }
      guard zmq_errno() == EINTR else { throw .last("wait for", handles.first?.endpoint ?? "sockets") }
    }
  }

  /// Whether the socket was ready when `wait` returned.
  public func isReady(_ index: Int) -> Bool { items[index].revents != 0 }
}
