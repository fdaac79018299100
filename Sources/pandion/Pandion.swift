import ArgumentParser
import Foundation

/// Segmentation and labelling: clicks to masks, masks to words.
@main
struct Pandion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pandion",
    abstract: "Segments pictures by clicks, boxes or as a whole, and gives each mask words.",
    discussion: "Results go to standard output, everything else to standard error. Exit 0, 1 (failed), 2 (usage).",
    version: Version.current,
    subcommands: [
      Serve.self, Keygen.self, Segment.self, Auto.self, Label.self, Trace.self, Models.self, Eval.self, Bench.self,
      Doctor.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Foundation.exit(report(error))
    }
  }

  /// Help and the version go to standard output with 0; what ArgumentParser calls a usage error (64) is 2 here.
  private static func report(_ error: any Error) -> Int32 {
    let code = exitCode(for: error)
    let message = fullMessage(for: error)
    if code == .success {
      Standard.output(message)
    } else if !message.isEmpty {
      Standard.error(message)
    }
    return code == .success ? 0 : code == .validationFailure ? 2 : 1
  }
}
