import Foundation

/// The folder for the sockets: `$XDG_RUNTIME_DIR/pandion`, or `/tmp/pandion-UID`.
public enum RuntimeFolder {
  /// The folder's path, whether or not it is there.
  public static func path(environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
    if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") { return "\(runtime)/pandion" }
    return "/tmp/pandion-\(getuid())"
  }

  /// Makes the folder, for its owner only. One that is there already must be so, because in `/tmp` anybody could have
  /// put it there to listen in.
  @discardableResult
  public static func make(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(DaemonError) -> String {
    let path = path(environment: environment)
    try secure(path)
    return path
  }

  /// The same for the folder of each ipc socket.
  ///
  /// - Parameter endpoints: others among them are passed over.
  static func secure(endpoints: [String]) throws(DaemonError) {
    for endpoint in endpoints where endpoint.hasPrefix("ipc://") && endpoint != "ipc://*" {
      let socket = String(endpoint.dropFirst(6))
      guard !socket.hasPrefix("@") else {
        throw .runtimeFolder(path: endpoint, reason: "a socket that lies in no folder is open to everybody here")
      }
      let folder = socket.lastIndex(of: "/").map { String(socket[..<$0]) } ?? "."
      try secure(folder.isEmpty ? "/" : folder)
    }
  }

  /// Refuses sockets that somebody listens on: the library would put its own in their place, and whom they belong to would hear
  /// nobody any more.
  static func checkFree(endpoints: [String]) throws(DaemonError) {
    for endpoint in endpoints where endpoint.hasPrefix("ipc://") {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = Array(endpoint.dropFirst(6).utf8)
      let room = MemoryLayout.size(ofValue: address.sun_path)
      // The library says what is wrong with a longer one.
      guard path.count < room else { continue }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
      let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      guard probe >= 0 else { throw .system(call: "socket", errno: errno) }
      defer { close(probe) }
      _ = fcntl(probe, F_SETFL, O_NONBLOCK)
      let status = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(probe, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      // Too many wait to be taken there, or one more does.
      if status == 0 || errno == EAGAIN { throw .inUse(endpoint) }
    }
  }

  private static func secure(_ path: String) throws(DaemonError) {
    if mkdir(path, 0o700) != 0 && errno != EEXIST {
      throw .runtimeFolder(path: path, reason: String(cString: strerror(errno)))
    }
    var status = stat()
    guard lstat(path, &status) == 0 else {
      throw .runtimeFolder(path: path, reason: String(cString: strerror(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw .runtimeFolder(path: path, reason: "it is not a folder") }
    guard status.st_uid == getuid() else {
      throw .runtimeFolder(path: path, reason: "it belongs to user \(status.st_uid), not to this one")
    }
    guard status.st_mode & 0o077 == 0 else {
      throw .runtimeFolder(
        path: path, reason: "others may enter it; sockets lie in a folder for their owner alone, of mode 0700")
    }
  }
}
