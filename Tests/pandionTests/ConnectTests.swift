import ArgumentParser
import Daemon
import Foundation
import Testing
import Wire

@testable import pandion

/// `--connect` to a daemon that asks for keys.
@Suite struct ConnectTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test func aDaemonWithKeysIsAskedWithTheRightOnes() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let keys = KeyFolder(path: folder)
    _ = try keys.makeServerKeys()
    try keys.makeClientKeys(name: "robot", file: "\(folder)/robot.key")
    // A worker's key is none of a client.
    try keys.makeClientKeys(name: "worker", file: "\(folder)/worker.key", as: .worker)
    let loader = ModelLoader(catalog: ModelCatalog(root: Self.repository.appendingPathComponent("Models").path))
    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"])
    configuration.keys = keys
    let server = try Server(configuration, Pipeline(segmenter: loader.segmentEngine(), labeler: nil))
    try server.start()

    let picture = try PictureFile(Self.repository.appendingPathComponent("Examples/desk.jpg").path)
    let prompt = WirePrompt(points: [.init(x: 439, y: 116)], pointLabels: [1])
    let request = Request.Operation.segment(SegmentRequest(image: picture.reference, prompts: [prompt]))
    func ask(_ options: [String], server key: String = "server.pub") throws -> Exchange {
      let words = ["x.png", "--point", "1,1", "--connect", server.endpoints[0]] + options
      let command = try Segment.parse(words)
      return try Exchange(request, blobs: [picture.bytes], models: command.models, output: command.output)
    }
    let (right, theirs) = (["--key", "\(folder)/robot.key"], ["--server-key", "\(folder)/server.pub"])
    #expect(try ask(right + theirs).masks.count == 3)

    // Whoever is not let in hears why that may be, and soon.
    let wrong = [
      (["--key", "\(folder)/worker.key"] + theirs, "has not authorised the key"),
      (right + ["--server-key", "\(folder)/authorised/robot.pub"], "--server-key is not its own"),
      ([], "it asks for keys"),
    ]
    for (options, reason) in wrong {
      let start = ContinuousClock.now
      do {
        _ = try ask(options)
        Issue.record("let in with \(options)")
      } catch let error as CommandError {
        #expect("\(error)".hasPrefix("nobody answers at \(server.endpoints[0]): ") && "\(error)".contains(reason))
      }
      #expect(.now - start < .seconds(5))
    }
    // A file that is not there is named.
    #expect(
      throws: DaemonError.keys(
        path: "\(folder)/none.key", reason: "there is no such file, or it may not be read as text")
    ) {
      try ask(["--key", "\(folder)/none.key"] + theirs)
    }
    server.drain()
    try server.wait()
  }

  @Test(arguments: [
    (["--key", "k", "--server-key", "s"], "go with --connect"),
    (["--connect", "tcp://h:1", "--key", "k"], "given together"),
    (["--connect", "tcp://h:1", "--server-key", "s"], "given together"),
    (["--connect", "ipc:///run/x", "--key", "k", "--server-key", "s"], "are for tcp endpoints"),
  ])
  func keysGoTogetherAndWithAConnection(_ options: [String], _ reason: String) {
    let commands: [(ParsableCommand.Type, [String])] = [
      (Segment.self, ["x.png", "--point", "1,1"]), (Auto.self, ["x.png"]), (Label.self, ["x.png", "--auto"]),
      (Doctor.self, []),
    ]
    for (command, words) in commands {
      do {
        _ = try command.parse(words + options)
        Issue.record("\(command) takes \(options)")
      } catch {
        #expect(command.message(for: error).contains(reason) && command.exitCode(for: error) == .validationFailure)
      }
    }
  }
}
