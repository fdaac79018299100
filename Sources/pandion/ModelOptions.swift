import ArgumentParser
import Daemon
import Tensors

/// `--segmenter`, `--labeler` and what else picks models and how they compute.
struct ModelOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A model's name, or a checkpoint's path.", valueName: "NAME|PATH"))
  var segmenter: String?

  @Option(help: ArgumentHelp("A model's name, or an Osprey folder.", valueName: "NAME|PATH"))
  var labeler: String?

  @Option(help: ArgumentHelp("A raw open_clip file for the labeler.", valueName: "PATH"))
  var visionTower: String?

  @Option(help: "How many threads compute; unless given one for each of --cpus, or all cores.")
  var threads: Int?

  @Option(
    help: ArgumentHelp("The CPUs that the process runs on, and no others, such as 0-3,6.", valueName: "LIST"),
    transform: { try CPUList($0) })
  var cpus: CPUList?

  @Option(
    help: ArgumentHelp(
      "How the products of what sees pictures are rounded; 'auto' takes the fastest that this CPU has and that was measured to keep the model's answers.",
      valueName: "auto|fp32|bf16|int8"))
  var precision: PrecisionChoice = .automatic

  @Option(
    help: ArgumentHelp(
      "How the labeler keeps a picture's keys and values: exact, in halves, or in 8 bits. Unless given fp32, or fp16 where that takes more than 256 MiB.",
      valueName: "fp32|fp16|q8"))
  var kvCache: CacheFormat?

  func validate() throws {
    try Self.threadCounts.check(threads, "--threads")
  }

  static let threadCounts = 1...1024

  /// The same options as words of a command line.
  var arguments: [String] {
    var words = ["--precision", precision.defaultValueDescription]
    for (name, value) in [
      ("--segmenter", segmenter), ("--labeler", labeler), ("--vision-tower", visionTower),
      ("--threads", threads.map { "\($0)" }), ("--cpus", cpus?.description), ("--kv-cache", kvCache?.rawValue),
    ] {
      if let value { words += [name, value] }
    }
    return words
  }

  /// To be called before anything is computed. It may be called again.
  ///
  /// - Throws: a `ValidationError` for CPUs that this process does not have.
  func apply() throws {
    do throws(CPUListError) {
      try cpus?.bindProcess()
    } catch {
      if case .missing = error { throw ValidationError("--cpus: \(error)") }
      throw error
    }
    if let threads = threads ?? cpus?.numbers.count { ComputePool.setThreads(threads) }
  }
}

extension PrecisionChoice: ExpressibleByArgument {
  public init?(argument: String) {
    if argument == "auto" {
      self = .automatic
    } else if let precision = Precision(rawValue: argument) {
      self = .fixed(precision)
    } else {
      return nil
    }
  }

  public var defaultValueDescription: String {
    switch self {
    case .automatic: "auto"
    case .fixed(let precision): precision.rawValue
    }
  }

  public static var allValueStrings: [String] { ["auto"] + Precision.allCases.map(\.rawValue) }
}

extension CacheFormat: ExpressibleByArgument {}

extension ClosedRange<Int> {
  /// - Throws: a `ValidationError` which names the option, for a value outside.
  func check(_ value: Int?, _ option: String) throws {
    guard let value, !contains(value) else { return }
    throw ValidationError("\(option) must lie in \(lowerBound)…\(upperBound)")
  }
}
