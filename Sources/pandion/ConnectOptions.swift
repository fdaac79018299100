import ArgumentParser
import Daemon
import Foundation
import Wire

/// `--connect`, and the keys that a daemon may ask for.
struct ConnectOptions: ParsableArguments {
  @Option(
    name: .customLong("connect"),
    help: ArgumentHelp("Ask a running daemon instead of loading models here.", valueName: "ENDPOINT"))
  var endpoint: String?
  @OptionGroup var keys: KeyOptions

  func validate() throws {
    guard !keys.isEmpty else { return }
    guard let endpoint else { throw ValidationError("--key and --server-key go with --connect") }
    if endpoint.hasPrefix("ipc://") {
      throw ValidationError("--key and --server-key are for tcp endpoints; \(endpoint) asks for none")
    }
  }

  /// A daemon that has answered, or nil where none is to be asked.
  func client() throws -> Client? {
    guard let endpoint else { return nil }
    let client = try Client(endpoint: endpoint, keys: keys.read())
    // Sockets connect to what is not there yet, and whoever is refused hears nothing; a quick question tells before a long wait.
    do throws(DaemonError) {
      _ = try client.send(Request(.hello, id: UUID().uuidString), timeout: .seconds(4))
    } catch .socket(.timedOut) {
      let why =
        keys.isEmpty
        ? "no daemon is there, or it asks for keys (--key, --server-key)"
        : "no daemon is there, or it has not authorised the key, or --server-key is not its own"
      throw CommandError.refused("nobody answers at \(endpoint): \(why)")
    }
    return client
  }
}
