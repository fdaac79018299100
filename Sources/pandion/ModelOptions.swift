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

  @Option(help: "How many threads compute; all cores unless given.")
  var threads: Int?

  @Option(help: ArgumentHelp("The precision of computation.", valueName: "fp32"))
  var precision: Precision = .fp32

  @Option(
    help: ArgumentHelp(
      "How the labeler keeps a picture's keys and values: exact, in halves, or in 8 bits. Unless given fp32, or fp16 where that takes more than 256 MiB.",
      valueName: "fp32|fp16|q8"))
  var kvCache: CacheFormat?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must lie in 1…1024") }
  }

  func apply() { if let threads { ComputePool.setThreads(threads) } }
}

enum Precision: String, ExpressibleByArgument, CaseIterable { case fp32 }

extension CacheFormat: ExpressibleByArgument {}
