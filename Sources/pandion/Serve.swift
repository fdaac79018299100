import ArgumentParser
import Daemon
import Foundation
import Wire

/// `pandion serve`: the daemon, or a worker of one stage.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer requests over ZeroMQ until SIGTERM.",
    discussion: """
      SIGTERM and SIGINT refuse what comes new, finish what was accepted, and exit 0. SIGHUP loads the models again. With \
      --stage this is no daemon, but does one stage's work for the daemon that it connects to.
      """)

  @Option(
    help: ArgumentHelp(
      "A YAML file with these options as keys, such as Config/pandion.yaml; the command line goes before it.",
      valueName: "FILE"))
  var config: String?

  @Option(
    name: .customLong("endpoint"), parsing: .singleValue,
    help: ArgumentHelp(
      "Where requests come in; tcp://127.0.0.1:5560 and an ipc socket unless given.", valueName: "ENDPOINT"))
  var endpoints: [String] = []

  @Option(
    name: .customLong("control"), parsing: .singleValue,
    help: ArgumentHelp("Where control comes in; an ipc socket unless given.", valueName: "ENDPOINT"))
  var controlEndpoints: [String] = []

  @Option(help: "How many requests may wait; more are told to come back.") var queue: Int?
  @Option(
    help: ArgumentHelp(
      "The most memory of pictures and what the models saw in them, in MiB. What was used longest ago goes first, and is seen again when it is asked for again.",
      valueName: "MIB"))
  var cacheMb = 1024
  @Option(
    help: ArgumentHelp("How many requests of one client may wait; 32 unless given.", valueName: "COUNT"))
  var queuePerClient: Int?
  @Option(
    help: ArgumentHelp(
      "TCP takes only clients whose keys are authorised in this folder; 'pandion keygen' makes it.", valueName: "FOLDER"
    ))
  var keys: String?
  @Flag(help: "Let other machines in without keys.") var insecure = false
  @OptionGroup var cameras: CameraOptions
  @OptionGroup var stages: StageOptions
  @OptionGroup var models: ModelOptions

  func validate() throws {
    try Self.queueLengths.check(queue, "--queue")
    try Self.queueLengths.check(queuePerClient, "--queue-per-client")
    try Self.cacheSizes.check(cacheMb, "--cache-mb")
    if stages.stage != nil, !cameras.isEmpty {
      throw ValidationError("--stage is a worker's, cameras are the daemon's")
    }
  }

  static let queueLengths = 1...65_536
  /// In MiB.
  static let cacheSizes = 1...1 << 24

  func run() throws {
    let words = Array(CommandLine.arguments.drop { $0 != "serve" }.dropFirst())
    let file = try config.map { path throws(ServeFileError) in try ServeFile(path: path) }
    try Self.parse(words, file).serve(words, file)
  }

  /// The options of a command line, and those that a file has besides.
  static func parse(_ words: [String], _ file: ServeFile?) throws -> Serve {
    try parse((file?.arguments(before: words) ?? []) + words)
  }

  private func serve(_ words: [String], _ file: ServeFile?) throws {
    if let stage = stages.stage { return try stages.work(on: stage, models, cacheBytes: cacheMb << 20) }
    let signals = try TerminationSignals(onlyHangups: true)
    // Here already: all threads of the daemon are to inherit it, and so are workers.
    try models.apply()
    var configuration =
      endpoints.isEmpty ? try Configuration.standard() : Configuration(endpoints: endpoints)
    if !controlEndpoints.isEmpty { configuration.controlEndpoints = controlEndpoints }
    if let queue { configuration.queue = queue }
    if let queuePerClient { configuration.queuePerClient = queuePerClient }
    configuration.keys = keys.map { KeyFolder(path: $0) }
    configuration.insecure = insecure
    configuration.cameras = try cameras.settings(keys: stages.keys.read())
    let start = ContinuousClock.now
    let workers = try stages.pool(hasEndpoints: !endpoints.isEmpty)
    configuration.withWorkers = stages.seats(labelled: configuration.labelled)
    let pipeline = try models.pipeline(cacheBytes: cacheMb << 20, workers: workers)
    let server = try Server(
      configuration, pipeline, workers: workers,
      supervisor: workers.flatMap { stages.supervisor($0, models, cacheMb: cacheMb) }
    ) { Standard.error($0) }
    let reloads: Server.Reload = {
      if workers != nil { throw WireError(.modelUnavailable, "with --workers other models take a restart") }
      return try Self.reload(words, file)
    }
    try server.runUntilSignalled(signals, reload: reloads) {
      if let counts = stages.workers?.counts { workers?.awaitWorkers(of: counts.filter { $0.value > 0 }.map(\.key)) }
      let seconds = String(format: "%.2f", start.duration(to: .now).seconds)
      Standard.error(
        "pandion \(Version.current) is ready after \(seconds) s at \(server.endpoints.joined(separator: ", "))")
      if configuration.cameras != nil {
        let sources = (server.cameraEndpoints + cameras.publishers).joined(separator: ", ")
        Standard.error(
          "frames come in at \(sources), results leave at \(server.resultEndpoints.joined(separator: ", "))")
      }
    }
    Standard.error("pandion has finished what it accepted")
  }

  /// The models that the file wants now.
  private static func reload(
    _ words: [String], _ old: ServeFile?
  ) throws -> (segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?) {
    let file = try old.map { file throws(ServeFileError) in try ServeFile(path: file.path) }
    if let file, let old {
      let fixed = file.changes(from: old).filter { !$0.isReloaded }.map(\.name)
      if !fixed.isEmpty { Standard.error("\(file.path): a change of \(fixed.joined(separator: ", ")) takes a restart") }
    }
    return try parse(words, file).models.engines()
  }
}
