import Synchronization
import ZeroMQ

/// What threads leave for one that waits for sockets: a list, and a socket that wakes the reader.
final class Mailbox<Element: Sendable>: Sendable {
  /// Nil once nobody reads any more.
  private let elements = Mutex<[Element]?>([])
  // The lock makes it one thread's at a time, with the memory fence that the library asks for.
  private let bell: Mutex<Socket>

  /// - Parameter endpoint: an `inproc://` name to which the reader has bound a PULL socket.
  init(_ context: Context, endpoint: String) throws(ZeroMQError) {
    let socket = try Socket(context, .push)
    try socket.connect(endpoint)
    bell = Mutex(socket)
  }

  /// - Returns: false if nobody will read it.
  @discardableResult
  func put(_ element: Element) -> Bool {
    guard elements.withLock({ $0?.append(element) }) != nil else { return false }
    // Where the pipe is full the reader will wake anyway.
    bell.withLock { try? $0.send([[]], timeout: 0) }
    return true
  }

  /// What there is, in order; the reader takes the bell's messages itself, before it calls this.
  func takeAll() -> [Element] {
    elements.withLock { held in
      defer { if held != nil { held = [] } }
      return held ?? []
    }
  }

  /// Takes what there is, and nothing more from now on.
  func close() -> [Element] {
    elements.withLock { held in
      defer { held = nil }
      return held ?? []
    }
  }
}
