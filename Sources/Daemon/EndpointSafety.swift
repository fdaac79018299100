/// What an endpoint is open to.
enum EndpointSafety {
  /// Whether only this machine reaches it. Names other than these may resolve to anything, so they do not count.
  static func isLocal(_ endpoint: String) -> Bool {
    if endpoint.hasPrefix("ipc://") || endpoint.hasPrefix("inproc://") { return true }
    guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return false }
    let name = endpoint[..<colon].dropFirst(6)
    if ["localhost", "[::1]", "lo"].contains(name) { return true }
    return name.hasPrefix("127.") && name.utf8.allSatisfy { $0 == 0x2E || $0 >= 0x30 && $0 <= 0x39 }
  }

  /// Refuses what would let anybody in.
  ///
  /// - Parameter workers: where workers connect to.
  static func check(_ configuration: Configuration, workers: [String] = []) throws(DaemonError) {
    guard configuration.keys == nil, !configuration.insecure else { return }
    for endpoint in configuration.endpoints + configuration.controlEndpoints + workers where !isLocal(endpoint) {
      throw .openEndpoint(endpoint)
    }
  }
}
