import CZeroMQ

/// What a socket can refuse, naming the endpoint.
public enum ZeroMQError: Error, Equatable, Sendable {
  /// A call into the library failed.
  case failed(operation: String, endpoint: String, errno: Int32)
  /// Nothing came, or nothing could be sent, in time.
  case timedOut(operation: String, endpoint: String, milliseconds: Int)

  /// The error that the library has just left behind on this thread.
  static func last(_ operation: String, _ endpoint: String) -> ZeroMQError {
    .failed(operation: operation, endpoint: endpoint, errno: zmq_errno())
  }
}

extension ZeroMQError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .failed(let operation, let endpoint, let errno):
      "cannot \(operation) \(endpoint): \(String(cString: zmq_strerror(errno))) (errno \(errno))"
    case .timedOut(let operation, let endpoint, let milliseconds):
      "\(operation) \(endpoint): nothing within \(milliseconds) ms"
    }
  }
}
