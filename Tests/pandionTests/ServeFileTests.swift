import ArgumentParser
import Foundation
import Testing

@testable import pandion

@Suite struct ServeFileTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  private static let example = "\(repository.path)/Config/pandion.yaml"

  private func refusal(_ text: String) -> ServeFileError? {
    do throws(ServeFileError) {
      _ = try ServeFile(text, path: "f")
      return nil
    } catch { return error }
  }

  /// Options of a process that is no daemon, or that only make sense on a command line.
  private static let notKeys: Set = ["config", "help", "version", "stage", "connect"]

  @Test func everyOptionIsAKey() {
    let help = Serve.helpMessage(columns: 1000)
    let options = help.split(separator: "\n").compactMap { line -> String? in
      guard let found = line.firstMatch(of: /^ +(?:-h, )?--([a-z-]+)/) else { return nil }
      return String(found.1)
    }
    #expect(options.count > 10)
    let keys = Set(ServeFile.Key.all.map { String($0.option.dropFirst(2)) })
    #expect(Set(options).subtracting(Self.notKeys) == keys)
    #expect(keys.count == ServeFile.Key.all.count)
  }

  @Test func valuesBecomeOptions() throws {
    let text = """
      endpoint: [tcp://127.0.0.1:1, "ipc:///run/p/x"]
      control: ipc:///run/p/c
      queue: 7
      queue_per_client: 0x10
      cache_mb: 99
      insecure: yes
      keys: /k
      segmenter: a b
      labeler: "12"
      kv_cache: q8
      threads: 2
      cpus: 0-1,3
      precision: fp32
      workers: segment=2,extract=1,language=0
      workers_endpoint: ipc:///run/p/w
      camera_endpoint: ipc:///run/p/f
      camera_connect: [tcp://r:1, tcp://r:2]
      camera_stream: front
      results_endpoint: ipc:///run/p/r
      key: /k/c.key
      server_key: /k/r.pub
      """
    let serve = try Serve.parse([], try ServeFile(text, path: "f"))
    #expect(serve.endpoints == ["tcp://127.0.0.1:1", "ipc:///run/p/x"] && serve.controlEndpoints == ["ipc:///run/p/c"])
    #expect(serve.queue == 7 && serve.queuePerClient == 16 && serve.cacheMb == 99 && serve.insecure)
    #expect(serve.keys == "/k" && serve.models.segmenter == "a b" && serve.models.labeler == "12")
    #expect(serve.stages.workers?.counts == [.segment: 2, .extract: 1, .language: 0])
    #expect(serve.stages.workersEndpoints == ["ipc:///run/p/w"])
    #expect(serve.cameras.endpoints == ["ipc:///run/p/f"] && serve.cameras.publishers == ["tcp://r:1", "tcp://r:2"])
    #expect(serve.cameras.streams == ["front"] && serve.cameras.results == ["ipc:///run/p/r"])
    #expect(serve.stages.keys.key == "/k/c.key" && serve.stages.keys.serverKey == "/k/r.pub")
    #expect(serve.models.kvCache == .q8 && serve.models.threads == 2)
    #expect(serve.models.cpus?.numbers == [0, 1, 3])
  }

  @Test func workersAreCounted() throws {
    #expect(try Serve.parse(["--workers", "2"]).stages.workers?.counts == [.segment: 2, .extract: 2, .language: 2])
    for wrong in ["0", "65", "-1", "x", "segment", "segment=", "segment=1,segment=2", "speak=1", "segment=99", ""] {
      #expect(WorkerCounts(argument: wrong) == nil, "\(wrong)")
    }
    #expect(throws: (any Error).self) { try Serve.parse(["--stage", "extract", "--workers", "1"]) }
    // These two share the labeler.
    #expect(throws: (any Error).self) { try Serve.parse(["--workers", "extract=1"]) }
    #expect(throws: (any Error).self) { try Serve.parse(["--workers-endpoint", "tcp://127.0.0.1:1"]) }
    #expect(throws: (any Error).self) { try Serve.parse(["--connect", "tcp://127.0.0.1:1"]) }
    #expect(throws: (any Error).self) { try Serve.parse(["--stage", "segment", "--key", "k"]) }
    #expect(try Serve.parse(["--stage", "extract", "--connect", "tcp://h:1"]).stages.stage == .extract)
  }

  @Test func camerasGoWithResults() throws {
    let settings = try Serve.parse(["--camera-endpoint", "a", "--results-endpoint", "b"]).cameras.settings(keys: nil)
    #expect(settings?.endpoints == ["a"] && settings?.results == ["b"] && settings?.publishers == [])
    #expect(try Serve.parse([]).cameras.settings(keys: nil) == nil)
    for wrong in [
      ["--camera-endpoint", "a"], ["--camera-connect", "a"], ["--results-endpoint", "a"],
      ["--camera-endpoint", "a", "--results-endpoint", "b", "--camera-stream", "c"],
      ["--camera-endpoint", "a", "--results-endpoint", "b", "--stage", "extract"],
      ["--camera-connect", "a", "--results-endpoint", "b", "--key", "k"],
    ] { #expect(throws: (any Error).self, "\(wrong)") { try Serve.parse(wrong) } }
  }

  @Test func theCommandLineGoesBeforeTheFile() throws {
    let file = try ServeFile("queue: 7\nendpoint: [tcp://a:1, tcp://b:1]\nlabeler: x\ninsecure: false\n", path: "f")
    let serve = try Serve.parse(["--queue=9", "--endpoint", "tcp://c:1", "--config", "f"], file)
    #expect(serve.queue == 9 && serve.endpoints == ["tcp://c:1"] && serve.models.labeler == "x" && !serve.insecure)
  }

  @Test func everyMistakeIsNamedWithItsLine() {
    #expect(refusal("queue: 1\n\nqeue: 2\n") == .unknownKey("f", line: 3, "qeue"))
    #expect(refusal("cache-mb: 2\n") == .unknownKey("f", line: 1, "cache-mb"))
    #expect("\(refusal("a: 1") ?? .noText(""))".contains("f:1: there is no key 'a'; there are endpoint, control,"))
    let count = "a whole number in 1…65536"
    for value in ["x", "1.5", "0", "65537", "[1]", "~", "", "true", "{a: 1}", "'7'", "1e3", "99999999999999999999"] {
      #expect(refusal("# c\nqueue: \(value)\n") == .wrongValue("f", line: 2, "queue", expected: count), "\(value)")
    }
    for value in ["7", "[a]", "~", "true", "''"] {
      #expect(refusal("segmenter: \(value)") == .wrongValue("f", line: 1, "segmenter", expected: "a text"), "\(value)")
    }
    #expect(
      refusal("endpoint:\n  - tcp://a\n  - 5\n")
        == .wrongValue("f", line: 2, "endpoint", expected: "a text or a list of texts"))
    #expect(refusal("insecure: maybe") == .wrongValue("f", line: 1, "insecure", expected: "true or false"))
    #expect(refusal("kv_cache: q4") == .wrongValue("f", line: 1, "kv_cache", expected: "one of fp32, fp16, q8"))
    #expect(
      refusal("precision: bf64") == .wrongValue("f", line: 1, "precision", expected: "one of auto, fp32, bf16, int8"))
    for value in ["''", "1-0", "x", "0,0", "[0, 1]", "-1", "~"] {
      #expect(
        refusal("cpus: \(value)") == .wrongValue("f", line: 1, "cpus", expected: "a list of CPUs such as 0-3,6"),
        "\(value)")
    }
    #expect("\(ServeFileError.wrongValue("f", line: 2, "queue", expected: count))" == "f:2: queue is to be \(count)")
  }

  @Test func whatIsNoSuchFileIsRefused() throws {
    #expect(refusal("queue: 1\nqueue: 2\n") == .syntax("f", line: 1, "queue comes twice"))
    for text in [
      "a: [", "\tqueue: 1", "queue: 'a", "*x", "queue: *x", "%YAML 9", "- a", "text", "? [a]\n: b", "a: b: c",
    ] {
      #expect(refusal(text) != nil, "\(text)")
    }
    #expect(refusal("") == nil && refusal("# nothing\n") == nil)
    #expect(refusal(String(repeating: "[", count: 50_000)) == .noText("f"))
    for hostile in [
      String(repeating: "- ", count: 20_000), String(repeating: "? ", count: 20_000),
      (0..<200).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
      "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nqueue: *c",
    ] { #expect(refusal(hostile) != nil) }
    let large = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: large) }
    #expect(throws: ServeFileError.unreadable(large)) { try ServeFile(path: large) }
    try Data(repeating: 0x23, count: ServeFile.byteLimit + 1).write(to: URL(fileURLWithPath: large))
    #expect(throws: ServeFileError.noText(large)) { try ServeFile(path: large) }
    try Data([0x61, 0x3A, 0xFF]).write(to: URL(fileURLWithPath: large))
    #expect(throws: ServeFileError.noText(large)) { try ServeFile(path: large) }
  }

  @Test func theCommittedFileServesAndNamesEveryKey() throws {
    let serve = try Serve.parse([], ServeFile(path: Self.example))
    let plain = try Serve.parse([], nil)
    #expect(serve.endpoints == plain.endpoints && serve.cacheMb == plain.cacheMb)
    // What is commented out is right too.
    let text = try String(contentsOfFile: Self.example, encoding: .utf8)
    let whole = text.replacing(/(?m)^# ((?:[a-z_]+:( |$))|(?:  - ))/) { "\($0.1)" }
    let file = try ServeFile(whole, path: "whole")
    #expect(Set(file.settings.map(\.key.name)) == Set(ServeFile.Key.all.map(\.name)))
    #expect(file.settings.first { $0.key.name == "endpoint" }?.values.count == 2)
  }

  @Test func changesAreTold() throws {
    let old = try ServeFile("queue: 1\nlabeler: a\n", path: "f")
    #expect(old.changes(from: old).isEmpty)
    let new = try ServeFile("labeler: b\nthreads: 3\nqueue: 1\n", path: "f")
    #expect(new.changes(from: old).map(\.name) == ["labeler", "threads"])
    #expect(new.changes(from: old).map(\.isReloaded) == [true, false])
  }
}
