import ArgumentParser
import Daemon

/// Options of `serve` for cameras.
struct CameraOptions: ParsableArguments {
  @Option(
    name: .customLong("camera-endpoint"), parsing: .singleValue,
    help: ArgumentHelp("Where cameras push their frames to.", valueName: "ENDPOINT"))
  var endpoints: [String] = []

  @Option(
    name: .customLong("camera-connect"), parsing: .singleValue,
    help: ArgumentHelp(
      "A camera that publishes its frames, such as tcp://robot:5570; on another machine with --key and --server-key.",
      valueName: "ENDPOINT"))
  var publishers: [String] = []

  @Option(
    name: .customLong("camera-stream"), parsing: .singleValue,
    help: ArgumentHelp(
      "How the names of the streams begin that --camera-connect asks for; all unless given.", valueName: "NAME"))
  var streams: [String] = []

  @Option(
    name: .customLong("results-endpoint"), parsing: .singleValue,
    help: ArgumentHelp("Where what was found in frames is published.", valueName: "ENDPOINT"))
  var results: [String] = []

  var isEmpty: Bool { endpoints.isEmpty && publishers.isEmpty && streams.isEmpty && results.isEmpty }

  func validate() throws {
    if (endpoints.isEmpty && publishers.isEmpty) != results.isEmpty {
      throw ValidationError("--results-endpoint goes with --camera-endpoint or --camera-connect, and they with it")
    }
    if publishers.isEmpty, !streams.isEmpty { throw ValidationError("--camera-stream goes with --camera-connect") }
  }

  /// - Parameter keys: for cameras that are connected to.
  func settings(keys: GuestKeys?) -> CameraSettings? {
    guard !isEmpty else { return nil }
    var settings = CameraSettings()
    (settings.endpoints, settings.publishers) = (endpoints, publishers)
    (settings.topics, settings.results) = (streams, results)
    settings.keys = keys
    return settings
  }
}
