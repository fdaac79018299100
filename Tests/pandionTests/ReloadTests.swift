import Daemon
import Foundation
import Testing
import Wire

/// SIGHUP to a real process.
@Suite struct ReloadTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// A daemon with a configuration file, in a folder for its owner alone; both go away with the value.
  private final class Daemon {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    let process = Process()
    var endpoint: String { "ipc://\(folder)/pandion.sock" }
    private var errors: String { "\(folder)/log" }

    init(_ settings: String) throws {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      for name in ["first", "second"] {
        try FileManager.default.createDirectory(atPath: "\(folder)/Models", withIntermediateDirectories: true)
        try FileManager.default.copyItem(
          atPath: "\(ReloadTests.repository.path)/Models/pandion-nano", toPath: "\(folder)/Models/\(name)")
      }
      try configure(settings)
      let tests = try #require(
        Bundle.allBundles.map(\.bundlePath).first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments.first)
      process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("pandion")
      process.arguments = ["serve", "--config", "\(folder)/pandion.yaml", "--threads", "1"]
      process.environment = ProcessInfo.processInfo.environment.merging(["PANDION_MODELS": "\(folder)/Models"]) { $1 }
      try Data().write(to: URL(fileURLWithPath: errors))
      process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
      try process.run()
    }

    func configure(_ settings: String) throws {
      let text = "endpoint: \(endpoint)\ncontrol: ipc://\(folder)/control.sock\n\(settings)\n"
      try text.write(toFile: "\(folder)/pandion.yaml", atomically: true, encoding: .utf8)
    }

    var log: String { (try? String(contentsOfFile: errors, encoding: .utf8)) ?? "" }

    /// Waits until something is in the log.
    func waits(for text: String, seconds: Double = 120) -> Bool {
      let end = ContinuousClock.now + .seconds(seconds)
      while .now < end, process.isRunning {
        if log.contains(text) { return true }
        usleep(20_000)
      }
      return log.contains(text)
    }

    func hangUp() { kill(process.processIdentifier, SIGHUP) }

    deinit {
      if process.isRunning { process.terminate() }
      process.waitUntilExit()
      try? FileManager.default.removeItem(atPath: folder)
    }
  }

  @Test(.timeLimit(.minutes(5))) func modelsAreReplacedWhileTheDaemonServes() throws {
    let daemon = try Daemon("segmenter: first\nlabeler: first")
    #expect(daemon.waits(for: "is ready"), "\(daemon.log)")
    let client = try Client(endpoint: daemon.endpoint)
    let picture = [UInt8](try Data(contentsOf: Self.repository.appendingPathComponent("Examples/desk.jpg")))
    func names() throws -> [String?] {
      try client.send(Request(.models)).header["models"]?.array?.map { $0["name"]?.string } ?? []
    }
    let image = ImageReference.blob(index: 0, encoding: .jpeg, raw: nil)
    let prompts = [WirePrompt(points: [.init(x: 439, y: 116)], pointLabels: [1])]
    let request = Request(.label(LabelRequest(image: image, regions: .prompts(prompts, multimask: false))))
    func words() throws -> JSONValue? { try client.send(request, blobs: [picture]).header["masks"] }

    let (before, answer) = (try names(), try words())
    #expect(before == ["first", "first"] && answer?[0]?["label"] != nil)

    // Nobody notices the change but those who ask for the models.
    try daemon.configure("segmenter: second\nlabeler: second\nqueue: 9")
    daemon.hangUp()
    var asked = 0
    while !daemon.log.contains("reloaded"), asked < 1000 {
      #expect(try words()?[0]?["area"] == answer?[0]?["area"])
      asked += 1
    }
    #expect(daemon.waits(for: "reloaded"), "\(daemon.log)")
    #expect(daemon.log.contains("a change of queue takes a restart"))
    let after = try names()
    #expect(after == ["second", "second"])
    #expect(try words()?[0]?["area"] == answer?[0]?["area"])

    // What fails is told, and changes nothing.
    for (number, (settings, reason)) in [
      ("segmenter: third\nlabeler: second", "third"), ("labeller: x", "there is no key 'labeller'"),
    ].enumerated() {
      try daemon.configure(settings)
      daemon.hangUp()
      let end = ContinuousClock.now + .seconds(60)
      while daemon.log.components(separatedBy: "reload failed").count < number + 2, .now < end { usleep(20_000) }
      #expect(daemon.log.contains("reload failed") && daemon.log.contains(reason), "\(daemon.log)")
      #expect(try names() == after)
    }
    // A file whose bytes are not its numbers is found by loading or by the trial, not by a client.
    let file = "\(daemon.folder)/Models/first/segmenter.safetensors"
    let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    try FileManager.default.removeItem(atPath: file)
    try (bytes.prefix(bytes.count / 2) + Data(count: bytes.count / 2)).prefix(bytes.count - 8).write(
      to: URL(fileURLWithPath: file))
    try daemon.configure("segmenter: first")
    daemon.hangUp()
    let end = ContinuousClock.now + .seconds(60)
    while daemon.log.components(separatedBy: "reload failed").count < 4, .now < end { usleep(20_000) }
    #expect(daemon.log.components(separatedBy: "reload failed").count == 4, "\(daemon.log)")
    #expect(try names() == after && words()?[0]?["area"] == answer?[0]?["area"])

    daemon.process.terminate()
    daemon.process.waitUntilExit()
    #expect(daemon.process.terminationStatus == 0)
  }
}
