import ArgumentParser

/// Segmentation and labelling: clicks to masks, masks to words.
@main
struct Pandion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pandion",
    abstract: "Segments pictures by clicks, boxes or as a whole, and gives each mask words.",
    discussion: "Results go to standard output, everything else to standard error. Exit 0, 1 (failed), 2 (usage).",
    version: Version.current,
    subcommands: [
      Serve.self, Segment.self, Auto.self, Label.self, Trace.self, Models.self, Eval.self, Doctor.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as any CustomStringConvertible & Error where !isUsage(error) {
      fail(error.description)
    } catch {
      // ArgumentParser prints help and version with 0; what it calls a usage error (64) is 2 here, as DESIGN §2 has it.
      let code = exitCode(for: error)
      if code == .success {
        print(fullMessage(for: error))
        Foundation.exit(0)
      }
      Standard.error(fullMessage(for: error))
      Foundation.exit(code == .validationFailure ? 2 : 1)
    }
  }
}
