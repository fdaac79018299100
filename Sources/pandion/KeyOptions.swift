import ArgumentParser
import Daemon

/// `--key` and `--server-key`, of whoever connects to a daemon that asks for keys, and of a daemon that connects to cameras.
struct KeyOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The secret key to come in with, as 'pandion keygen' makes it.", valueName: "FILE"))
  var key: String?
  @Option(help: ArgumentHelp("The public key of the daemon, or of the cameras.", valueName: "FILE")) var serverKey:
    String?

  var isEmpty: Bool { key == nil }

  func validate() throws {
    if (key == nil) != (serverKey == nil) { throw ValidationError("--key and --server-key are given together") }
  }

  /// - Returns: nil where none were given.
  func read() throws(DaemonError) -> GuestKeys? {
    guard let key, let serverKey else { return nil }
    return try GuestKeys(file: key, serverFile: serverKey)
  }
}
