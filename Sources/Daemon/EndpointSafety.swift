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

  /// Refuses what would let anybody in, and frames from whoever answers to a camera's name.
  ///
  /// - Parameter workers: where workers connect to.
  static func check(_ configuration: Configuration, workers: [String] = []) throws(DaemonError) {
    if configuration.insecure { return }
    let cameras = configuration.cameras ?? CameraSettings()
    if cameras.keys == nil, let endpoint = cameras.publishers.first(where: { !isLocal($0) }) {
      throw .unknownCamera(endpoint)
    }
    guard configuration.keys == nil else { return }
    let bound = configuration.endpoints + configuration.controlEndpoints + workers + cameras.endpoints + cameras.results
    if let endpoint = bound.first(where: { !isLocal($0) }) { throw .openEndpoint(endpoint) }
  }
}
