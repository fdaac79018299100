import ArgumentParser
import Foundation
import Testing

@testable import pandion

@Suite struct CPUListTests {
  @Test(arguments: [
    ("0", [0], "0"), ("0-3,6", [0, 1, 2, 3, 6], "0-3,6"), ("6,0-1", [0, 1, 6], "0-1,6"), ("5-5", [5], "5"),
    ("8191", [8191], "8191"), ("2,1,0", [0, 1, 2], "0-2"),
  ])
  func listsAreRead(text: String, numbers: [Int], written: String) throws {
    let list = try CPUList(text)
    #expect(list.numbers == numbers && list.description == written)
  }

  @Test(arguments: [
    ("", CPUListError.empty), (",", .noNumber("")), ("0,", .noNumber("")), ("x", .noNumber("x")),
    ("1-", .noNumber("1-")), ("-1", .noNumber("-1")), ("0-1-2", .noNumber("0-1-2")), ("+1", .noNumber("+1")),
    (" 1", .noNumber(" 1")), ("0x1", .noNumber("0x1")), ("٣", .noNumber("٣")), ("3-1", .reversed("3-1")),
    ("1,1", .repeated(1)), ("0-3,2", .repeated(2)), ("8192", .beyond("8192")), ("0-99999999", .beyond("99999999")),
    ("99999999999999999999", .beyond("99999999999999999999")),
  ])
  func whatIsNoListIsRefused(text: String, error: CPUListError) {
    #expect(throws: error) { try CPUList(text) }
    #expect(throws: (any Error).self) { try Bench.parse(["p.png", "--cpus=\(text)"]) }
  }

  @Test func cpusThatAreNotThereAreNamed() throws {
    let (own, asked) = (CPUList([0, 1, 4]), CPUList([1, 2, 3]))
    #expect(throws: CPUListError.missing(CPUList([2, 3]), own: own)) { try asked.check(among: own) }
    #expect(throws: Never.self) { try CPUList([0, 4]).check(among: own) }
    let models = try ModelOptions.parse(["--cpus", "8191"])
    let error = #expect(throws: ValidationError.self) { try models.apply() }
    #expect(error?.message.hasPrefix("--cpus: this process has no CPU 8191, it may run on ") == true)
  }

  @Test func theMessageNamesTheFault() {
    do {
      _ = try Bench.parse(["p.png", "--cpus", "3-1"])
      Issue.record("3-1 is taken")
    } catch {
      let message = Bench.fullMessage(for: error)
      #expect(message.contains("'3-1' ends before it begins") && message.contains("--cpus"), "\(message)")
      #expect(Bench.exitCode(for: error) == .validationFailure)
    }
  }

  @Test func workersAreTold() throws {
    #expect(try ModelOptions.parse(["--cpus", "1,0"]).arguments.contains(["--cpus", "0-1"]))
  }

  /// A daemon on one of this process's CPUs, with a worker: every thread of both runs there alone.
  @Test(.timeLimit(.minutes(3))) func aDaemonAndItsWorkersRunThereAlone() throws {
    let own = try CPUList.own()
    let cpu = try #require(own.numbers.last)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tests = try #require(
      Bundle.allBundles.map(\.bundlePath).first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments.first)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("pandion")
    process.arguments = [
      "serve", "--endpoint", "ipc://\(folder)/s", "--control", "ipc://\(folder)/c", "--workers", "segment=1",
      "--workers-endpoint", "ipc://\(folder)/w", "--cpus", "\(cpu)",
    ]
    let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["PANDION_MODELS": "\(repository.path)/Models"]) { $1 }
    try Data().write(to: URL(fileURLWithPath: "\(folder)/log"))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/log"))
    try process.run()
    defer {
      process.terminate()
      process.waitUntilExit()
    }
    func log() -> String { (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? "" }
    while !log().contains("is ready"), process.isRunning { usleep(20_000) }
    #expect(log().contains("is ready"), "\(log())")
    let worker = try #require(Self.children(of: process.processIdentifier).first)
    for pid in [process.processIdentifier, worker] {
      let allowed = Self.allowed(pid)
      #expect(allowed.count > 1 && allowed.allSatisfy { $0 == "\(cpu)" }, "\(allowed)")
    }
  }

  /// `Cpus_allowed_list` of each thread.
  private static func allowed(_ process: Int32) -> [String] {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
    return threads.compactMap { field("Cpus_allowed_list", "/proc/\(process)/task/\($0)/status") }
  }

  private static func children(of process: Int32) -> [Int32] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { Int32($0) }.filter { field("PPid", "/proc/\($0)/status") == "\(process)" }
  }

  private static func field(_ name: String, _ path: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    return String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("\(name):") }
      .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
  }
}
