import Foundation
import Testing

/// Every reader must answer any bytes with a value or an error: no trap, no endless loop, no boundless memory.
///
/// `swift test` tries two hundred inputs a reader; `Scripts/fuzz` goes on for as long as it is told. The same seed
/// gives the same inputs. What makes a reader answer as it never did before is changed further.
@Suite(.serialized) struct FuzzTests {
  @Test(.enabled(if: Campaign.asked == nil), arguments: FuzzedReader.all)
  func answersAnything(reader: FuzzedReader) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "pandion-fuzz-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var fuzzer = try Fuzzer(reader, seed: 1, folder: folder)
    for _ in 0..<200 { try fuzzer.step() }
    #expect(fuzzer.answers.count > 1)
  }

  /// The work of `Scripts/fuzz`: alone in its process, which a hang or too much memory ends.
  @Test(.enabled(if: Campaign.asked != nil)) func campaign() throws {
    let campaign = try #require(Campaign.asked)
    let named = FuzzedReader.all.first { $0.name == campaign.reader }
    let reader = try #require(named, "no reader is called \(campaign.reader)")
    var fuzzer = try Fuzzer(reader, seed: campaign.seed, folder: campaign.folder)
    let end = ContinuousClock.now + .seconds(campaign.seconds)
    var slowest = Duration.zero
    while ContinuousClock.now < end {
      alarm(UInt32(Campaign.patience))
      let start = ContinuousClock.now
      try fuzzer.step()
      slowest = max(slowest, ContinuousClock.now - start)
      // It ends the process, as a trap would: the input stays where it is, for the script to find.
      guard Campaign.peakMegabytes() < Campaign.memory else { fatalError("this input took too much memory") }
    }
    alarm(0)
    print(
      "fuzz \(reader.name): \(fuzzer.tried) inputs, \(fuzzer.accepted) read, \(fuzzer.answers.count) different answers, "
        + "slowest \(slowest.formatted(.units(allowed: [.milliseconds]))), peak \(Campaign.peakMegabytes()) MB, "
        + "seed \(campaign.seed)")
  }
}

/// What `Scripts/fuzz` asks for, in its environment.
private struct Campaign {
  let reader: String
  let seconds: Double
  let seed: UInt64
  let folder: String

  /// Seconds that one input may take.
  static let patience = 10
  /// Megabytes of the whole process.
  static let memory = 512

  static let asked: Campaign? = {
    let environment = ProcessInfo.processInfo.environment
    guard let reader = environment["PANDION_FUZZ"], let folder = environment["PANDION_FUZZ_FOLDER"] else { return nil }
    return Campaign(
      reader: reader, seconds: environment["PANDION_FUZZ_SECONDS"].flatMap { Double($0) } ?? 600,
      seed: environment["PANDION_FUZZ_SEED"].flatMap { UInt64($0) } ?? 1, folder: folder)
  }()

  static func peakMegabytes() -> Int {
    #if os(Linux)
      // What `getrusage` tells begins with the most of the process that started this one: it is only a bound, but quick.
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      if usage.ru_maxrss / 1024 < memory { return usage.ru_maxrss / 1024 }
      let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
      let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 / 1024 } ?? .max
    #else
      var usage = rusage()
      getrusage(RUSAGE_SELF, &usage)
      return usage.ru_maxrss >> 20
    #endif
  }
}

/// One reader under attack.
private struct Fuzzer {
  private let reader: FuzzedReader
  private let path: String
  private let descriptor: Int32
  private var mutator: Mutator
  private var corpus: [[UInt8]]
  private(set) var answers: Set<String> = []
  private(set) var tried = 0
  private(set) var accepted = 0

  private static let corpusLimit = 4096

  /// - Parameter folder: where the input lies while it is tried.
  init(_ reader: FuzzedReader, seed: UInt64, folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    // The name that one of the readers looks for.
    path = folder + "/annotations.json"
    descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw POSIXError(.EIO) }
    self.reader = reader
    corpus = try reader.seeds()
    mutator = Mutator(seed: seed, words: reader.words)
    for seed in corpus { try self.try(seed) }
    precondition(accepted > 0 || reader.name == "index", "none of \(reader.name)'s seeds can be read")
  }

  mutating func step() throws {
    let parent = mutator.pick(corpus)
    var input = mutator.mutate(parent, of: corpus)
    if tried % 4 != 0 { input = reader.repair(input) }
    if try self.try(input), corpus.count < Self.corpusLimit { corpus.append(input) }
  }

  /// - Returns: whether the reader gave a new answer.
  @discardableResult private mutating func `try`(_ input: [UInt8]) throws -> Bool {
    // In this order: some file systems write a file that was once empty to disk each time someone closes it.
    guard pwrite(descriptor, input, input.count, 0) == input.count, ftruncate(descriptor, input.count) == 0 else {
      throw POSIXError(.EIO)
    }
    tried += 1
    let answer: String
    do {
      try reader.read(input, path)
      accepted += 1
      answer = "read"
    } catch {
      // Numbers, and names in quotes, differ with each input; the words around them do not.
      let text = "\(error)".replacingOccurrences(of: path, with: "").split(
        separator: "'", omittingEmptySubsequences: false)
      let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
      answer = String(
        decoding: text.enumerated().filter { $0.offset % 2 == 0 }
          .flatMap { $0.element.utf8.prefix(200).filter { letters.contains($0) } }, as: UTF8.self)
    }
    return answers.insert(answer).inserted
  }
}
