import ArgumentParser

/// `--json`, `--overlay` and `--connect`.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print the result as JSON, the same objects as on the wire.")
  var json = false

  @Option(help: ArgumentHelp("Write the picture with its masks drawn over it.", valueName: "OUT.png"))
  var overlay: String?

  @OptionGroup var connect: ConnectOptions
}
