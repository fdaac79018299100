import Foundation
import Testing

/// Stands between those who connect and a port of this machine, and lets only so many bytes a second through, each way.
///
/// Its threads and descriptors go with the connections.
final class SlowLine {
  let endpoint: String
  private let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)

  init(to target: String, bytesPerSecond: Int) throws {
    var own = Self.address(0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let status = withUnsafeMutablePointer(to: &own) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) | listen(listener, 8) | getsockname(listener, $0, &size)
      }
    }
    try #require(status == 0)
    endpoint = "tcp://127.0.0.1:\(UInt16(bigEndian: own.sin_port))"
    let port = try #require(UInt16(target.split(separator: ":").last ?? ""))
    Thread {
      var other = Self.address(port)
      while case let near = accept(listener, nil, nil), near >= 0 {
        let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        _ = withUnsafeMutablePointer(to: &other) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(far, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
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

  private static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return address
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
