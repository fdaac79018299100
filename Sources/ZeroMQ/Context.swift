import CZeroMQ

/// The library's I/O threads, and the space in which `inproc://` names live.
///
/// A context is safe to share between threads. It is a reference, not a noncopyable value as sockets are, because every
/// socket keeps it alive: it can therefore only end after the last socket has closed, and ending it never hangs for
/// longer than a socket's linger.
public final class Context: Sendable {
  let pointer: OpaqueHandle

  /// - Parameter ioThreads: how many threads move bytes; one carries about a gigabyte a second.
  public init(ioThreads: Int = 1) throws(ZeroMQError) {
    guard let pointer = zmq_ctx_new() else { throw .last("make", "a context") }
    self.pointer = OpaqueHandle(pointer)
    guard zmq_ctx_set(pointer, ZMQ_IO_THREADS, Int32(clamping: ioThreads)) == 0 else {
      throw .last("set the I/O threads of", "a context")
    }
  }

  deinit {
    while zmq_ctx_term(pointer.raw) != 0 && zmq_errno() == EINTR {}
  }
}

/// A pointer into the library, whose owner sees to it that one thread uses it at a time.
struct OpaqueHandle: @unchecked Sendable {
  let raw: UnsafeMutableRawPointer
  init(_ raw: UnsafeMutableRawPointer) { self.raw = raw }
}
