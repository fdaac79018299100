import CSystem

/// When something was heard of the other end of a connection.
///
/// A heartbeat waits behind the message before it, which may take longer to come over a slow line than a silence may last. So
/// the bytes of a message that is still coming are as good a sign of life; the library tells nothing of them, but the kernel does.
struct LastHeard {
  private var time = ContinuousClock.now
  private var line: Line?

  /// A message came.
  ///
  /// - Parameter connection: the descriptor that it came over.
  init(over connection: Int32?) { line = Line(connection) }

  /// How long nothing has come.
  var silence: Duration { .now - time }

  /// Nothing could be heard until now.
  mutating func excuse() { time = .now }

  /// Asks the kernel where no message has come for so long.
  ///
  /// - Returns: whether a part of one has, which then counts as heard now.
  mutating func hearsPart(after patience: Duration) -> Bool {
    guard silence > patience, line?.hasCarried() == true else { return false }
    time = .now
    return true
  }

  private struct Line {
    let descriptor: Int32
    /// Tells it from a later connection with the same descriptor.
    let remotePort: Int32
    /// What had come over it when it was last asked, in bytes.
    var received: Int64

    /// - Returns: nil for what is no TCP connection, or of which the kernel tells nothing.
    init?(_ descriptor: Int32?) {
      guard let descriptor else { return nil }
      (self.descriptor, remotePort) = (descriptor, remote_tcp_port(descriptor))
      received = received_tcp_bytes(descriptor)
      if remotePort < 0 || received < 0 { return nil }
    }

    mutating func hasCarried() -> Bool {
      guard remote_tcp_port(descriptor) == remotePort else { return false }
      let before = received
      received = received_tcp_bytes(descriptor)
      return received > before
    }
  }
}
