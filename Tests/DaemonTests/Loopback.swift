import Foundation
import Testing

/// TCP on this machine without the library.
enum Loopback {
  /// - Returns: a descriptor that is connected to that port, or what `connect` says of it, less than 0.
  static func connect(_ port: UInt16) -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = address(port)
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if status == 0 { return descriptor }
    close(descriptor)
    return status
  }

  /// - Returns: a descriptor that listens on a free port.
  static func listen() throws -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var (address, size) = (address(0), socklen_t(MemoryLayout<sockaddr_in>.size))
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) | Glibc.listen(descriptor, 8) | getsockname(descriptor, $0, &size)
      }
    }
    let port = UInt16(bigEndian: address.sin_port)
    try #require(status == 0 && port > 0)
    return (descriptor, port)
  }

  static func port(of endpoint: String) throws -> UInt16 {
    try #require(UInt16(endpoint.split(separator: ":").last ?? ""))
  }

  private static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return address
  }
}
