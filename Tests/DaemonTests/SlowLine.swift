import Foundation
import Testing

/// Stands between those who connect and a port of this machine, and lets only so many bytes a second through, each way.
///
/// Its threads and descriptors go with the connections.
final class SlowLine {
  let endpoint: String
  private let listener: Int32

  init(to target: String, bytesPerSecond: Int) throws {
    let (listener, own) = try Loopback.listen()
    (self.listener, endpoint) = (listener, "tcp://127.0.0.1:\(own)")
    let port = try Loopback.port(of: target)
    Thread {
      while case let near = accept(listener, nil, nil), near >= 0 {
        let far = Loopback.connect(port)
        for (from, to) in [(near, far), (far, near)] {
          Thread { Self.forward(from, to, bytesPerSecond) }.start()
        }
      }
    }.start()
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  /// Fifty pieces a second, until one of the two has gone.
  private static func forward(_ from: Int32, _ to: Int32, _ bytesPerSecond: Int) {
    var bytes = [UInt8](repeating: 0, count: max(1, bytesPerSecond / 50))
    while case let count = recv(from, &bytes, bytes.count, 0), count > 0 {
      guard send(to, bytes, count, Int32(MSG_NOSIGNAL)) == count else { break }
      usleep(20_000)
    }
    // The other direction reads the end; each closes what it read from.
    shutdown(to, Int32(SHUT_RDWR))
    close(from)
  }
}
