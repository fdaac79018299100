import Foundation
import ZeroMQ

/// What can keep a daemon from starting, or a client from getting an answer.
public enum DaemonError: Error, Equatable, Sendable {
  case socket(ZeroMQError)
  /// The folder for the sockets cannot be had, or is not safe to use.
  case runtimeFolder(path: String, reason: String)
  /// A folder of keys, or a key in it, cannot be used.
  case keys(path: String, reason: String)
  /// Another process listens there.
  case inUse(String)
  /// Anybody who reaches the machine could use it.
  case openEndpoint(String)
  /// Anybody could pass for this camera.
  case unknownCamera(String)
  /// What came back is no reply.
  case badReply(endpoint: String, reason: String)
  /// A daemon does not want this worker.
  case refused(endpoint: String, reason: String)
  /// The system refuses what the daemon needs.
  case system(call: String, errno: Int32)
}

extension DaemonError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .socket(let error): error.description
    case .runtimeFolder(let path, let reason): "cannot use \(path) for sockets: \(reason)"
    case .keys(let path, let reason): "cannot use the key \(path): \(reason)"
    case .inUse(let endpoint): "another process listens on \(endpoint): is a daemon running already?"
    case .openEndpoint(let endpoint):
      "\(endpoint) is open to other machines: give --keys FOLDER ('pandion keygen FOLDER' makes it), or --insecure"
    case .unknownCamera(let endpoint):
      "\(endpoint) is on another machine, and anybody could pass for it: give --key FILE and --server-key FILE, or --insecure"
    case .badReply(let endpoint, let reason): "\(endpoint) sent no reply of a pandion daemon: \(reason)"
    case .refused(let endpoint, let reason): "\(endpoint) refuses this worker: \(reason)"
    case .system(let call, let number): "\(call) failed: \(String(cString: strerror(number)))"
    }
  }
}

/// Runs `body`, passing a socket's error on as this room's.
func sockets<R: ~Copyable>(_ body: () throws(ZeroMQError) -> R) throws(DaemonError) -> R {
  do { return try body() } catch { throw .socket(error) }
}
