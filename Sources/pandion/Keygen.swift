import ArgumentParser
import Daemon

/// `pandion keygen`: keys for TCP.
struct Keygen: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make keys for 'pandion serve --keys', and for its clients.",
    discussion:
      "The folder gets server.key, server.pub and authorised/. A client's secret goes into its file, its public key into authorised/, a worker's into workers/; taking that away shuts it out at its next connection."
  )

  @Argument(help: ArgumentHelp("The folder of keys.", valueName: "FOLDER")) var folder: String
  @Option(help: ArgumentHelp("A client to make a key for.", valueName: "NAME")) var client: String?
  @Option(help: ArgumentHelp("A worker ('serve --stage') to make a key for.", valueName: "NAME")) var worker: String?
  @Option(
    help: ArgumentHelp("Where the client's or the worker's secret key goes; NAME.key unless given.", valueName: "FILE"))
  var file: String?

  func validate() throws {
    if client != nil, worker != nil { throw ValidationError("--client and --worker come one at a time") }
  }

  func run() throws {
    let keys = KeyFolder(path: folder)
    let server = try keys.makeServerKeys()
    if let client { try keys.makeClientKeys(name: client, file: file ?? "\(client).key") }
    if let worker { try keys.makeClientKeys(name: worker, file: file ?? "\(worker).key", as: .worker) }
    Standard.output(server)
  }
}
