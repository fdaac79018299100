import ArgumentParser
import Daemon
import Foundation

/// Options of `serve` for stages in processes of their own.
struct StageOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Stages that worker processes do instead of the daemon: so many of each stage, kept running here. 0 of a stage leaves it to workers that others start.",
      valueName: "N|segment=N,extract=N,language=N"))
  var workers: WorkerCounts?

  @Option(
    name: .customLong("workers-endpoint"), parsing: .singleValue,
    help: ArgumentHelp("Where workers connect to; an ipc socket unless given.", valueName: "ENDPOINT"))
  var workersEndpoints: [String] = []

  @Option(help: ArgumentHelp("Be a worker of this stage.", valueName: "segment|extract|language"))
  var stage: Pipeline.Stage?

  @Option(
    help: ArgumentHelp(
      "The daemon's endpoint for workers; its default ipc socket unless given.", valueName: "ENDPOINT"))
  var connect: String?

  @OptionGroup var keys: KeyOptions
  @Option(help: .hidden) var workerName: String?
  @Flag(help: .hidden) var supervised = false

  func validate() throws {
    if let counts = workers?.counts, (counts[.extract] == nil) != (counts[.language] == nil) {
      throw ValidationError("--workers: extract and language are given together")
    }
    if stage != nil, workers != nil { throw ValidationError("--stage is a worker's, --workers the daemon's") }
    if stage == nil, connect != nil { throw ValidationError("--connect goes with --stage") }
    if workers == nil, !workersEndpoints.isEmpty { throw ValidationError("--workers-endpoint goes with --workers") }
  }

  // MARK: The daemon's side

  /// - Parameter hasEndpoints: whether the daemon's own were given, so that it may not be the only one.
  func pool(hasEndpoints: Bool) throws -> WorkerPool? {
    guard let workers else { return nil }
    var endpoints = workersEndpoints
    // Workers that are kept running here have no keys and need none.
    let isLocal = workers.counts.values.contains { $0 > 0 } && !endpoints.contains { $0.hasPrefix("ipc://") }
    if endpoints.isEmpty || isLocal {
      let name = hasEndpoints ? "workers-\(getpid()).sock" : "workers.sock"
      endpoints.append("ipc://\(try RuntimeFolder.make())/\(name)")
    }
    let supervised = workers.counts.filter { $0.value > 0 }.keys
    return WorkerPool(Set(workers.counts.keys), supervised: Set(supervised), endpoints: endpoints) {
      Standard.error($0)
    }
  }

  /// How many requests are with workers at a time.
  ///
  /// - Parameter labelled: how many a daemon without workers labels at a time: answers are decoded together, and a worker
  ///   takes as many.
  func seats(labelled: Int) -> [Pipeline.Stage: Int] {
    (workers?.counts ?? [:]).reduce(into: [:]) { seats, count in
      seats[count.key] = count.key == .language ? labelled * max(1, count.value) : max(4, count.value + 1)
    }
  }

  func supervisor(_ pool: WorkerPool, _ models: ModelOptions, cacheMb: Int) -> WorkerSupervisor? {
    guard let workers, let program = Bundle.main.executablePath else { return nil }
    let more = models.arguments + ["--cache-mb", "\(cacheMb)"]
    return WorkerSupervisor(
      executable: program, counts: workers.counts, log: { Standard.error($0) },
      arguments: { stage, name in
        [
          "serve", "--stage", stage.rawValue, "--connect", pool.localEndpoint, "--worker-name", name, "--supervised",
        ] + more
      })
  }

  // MARK: The worker's side

  func work(on stage: Pipeline.Stage, _ models: ModelOptions, cacheBytes: Int) throws {
    try models.apply()
    let endpoint = try connect ?? "ipc://\(RuntimeFolder.make())/workers.sock"
    // In a container host and process have the same names each time, and whoever comes back is not blamed.
    let once = String(UInt32.random(in: 0...UInt32.max), radix: 16)
    let name = workerName ?? "\(stage.rawValue)-\(ProcessInfo.processInfo.hostName.prefix(64))-\(getpid())-\(once)"
    let worker = try WorkerProcess(
      models.service(stage, cacheBytes: cacheBytes), endpoint: endpoint, name: name, keys: keys.read(),
      log: { Standard.error("\(name): \($0)") })
    if supervised { endWithStandardInput() }
    try worker.runUntilSignalled()
  }

  /// The daemon holds the other end: a worker must not outlive it, not even when it is killed.
  private func endWithStandardInput() {
    let thread = Thread {
      var byte: UInt8 = 0
      while true {
        let count = read(0, &byte, 1)
        if count == 0 || count < 0 && errno != EINTR { _exit(0) }
      }
    }
    thread.start()
  }
}

/// How many workers of each stage.
struct WorkerCounts: ExpressibleByArgument, Equatable {
  var counts: [Pipeline.Stage: Int] = [:]

  init?(argument: String) {
    if let count = Int(argument) {
      guard (1...64).contains(count) else { return nil }
      for stage in Pipeline.Stage.allCases { counts[stage] = count }
      return
    }
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false)
      guard pair.count == 2, let stage = Pipeline.Stage(rawValue: String(pair[0])), let count = Int(pair[1]),
        (0...64).contains(count), counts.updateValue(count, forKey: stage) == nil
      else { return nil }
    }
  }
}

extension Pipeline.Stage: ExpressibleByArgument {}
