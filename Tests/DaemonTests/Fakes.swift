import Foundation
import Imaging
import Masks
import Synchronization
import Wire
import ZeroMQ

@testable import Daemon

struct FakeMemory: Held {
  let byteCount: Int
  /// Of the picture.
  var width = 32
  var height = 24
}

/// Finds a square around each point; with `multimask` three of growing size. Can be held up to see what waits.
final class FakeSegmenter: SegmentEngine {
  let model = ModelDescription(
    name: "fake", role: "segmenter", architecture: "square",
    digests: ModelDigests([("f", String(repeating: "0", count: 64))]))
  /// Taken once for each embedding; nil does not wait.
  let gate: DispatchSemaphore?
  let embedded = Atomic<Int>(0)
  let started = DispatchSemaphore(value: 0)
  /// Ends the search for masks of everything, which goes on until then; nil ends at once.
  let found: DispatchSemaphore?

  /// How many logits a mask has: less than 512, or so many of its rows.
  let logits: Int

  init(gate: DispatchSemaphore? = nil, found: DispatchSemaphore? = nil, logits: Int = 2) {
    (self.gate, self.found, self.logits) = (gate, found, logits)
  }

  func embed(_ image: Image) throws -> any Held {
    embedded.add(1, ordering: .relaxed)
    started.signal()
    gate?.wait()
    return FakeMemory(byteCount: 1000, width: image.width, height: image.height)
  }

  func predict(
    _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool, isCancelled: () -> Bool
  ) throws -> [[FoundMask]] {
    let picture = embedding as? FakeMemory ?? FakeMemory(byteCount: 0)
    return prompts.map { prompt in
      let point = prompt.points.first ?? Point(x: prompt.box?.x0 ?? 0, y: prompt.box?.y0 ?? 0)
      return (0..<(multimask ? 3 : 1)).map { size in
        var mask = FoundMask(
          mask: square(Int(point.x), Int(point.y), 2 + 2 * size, width: picture.width, height: picture.height),
          predictedIoU: 0.5 + 0.1 * Float(size), stabilityScore: 0.9)
        if withLogits {
          mask.logits = FoundMask.Logits(
            height: max(1, logits / 512), width: min(logits, 512),
            values: (0..<logits).map { $0.isMultiple(of: 2) ? 1.5 : -2 })
        }
        return mask
      }
    }
  }

  func automatic(
    _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool,
    watch: (([FoundMask]) -> Void)?
  ) throws -> [FoundMask] {
    watch?([FoundMask(mask: square(16, 12, 3), predictedIoU: 0.7)])
    watch?((1..<3).map { FoundMask(mask: square(16, 12, 2 + 3 * $0), predictedIoU: 0.8) })
    while let found, found.wait(timeout: .now() + .milliseconds(1)) == .timedOut {
      if isCancelled() { throw WireError(.cancelled, "the request was cancelled") }
    }
    return (0..<3).map { FoundMask(mask: square(16, 12, 2 + 3 * $0), predictedIoU: 0.9 - 0.1 * Float($0)) }
  }
}

/// A square of side 2·half around a point of a picture.
func square(_ x: Int, _ y: Int, _ half: Int, width: Int = 32, height: Int = 24) -> RunLengthEncoding {
  var mask = BitMask(width: width, height: height)
  for row in max(0, y - half)..<min(height, y + half) {
    for column in max(0, x - half)..<min(width, x + half) { mask[column, row] = true }
  }
  return RunLengthEncoding(mask)
}

/// Calls a mask by its area.
final class FakeLabeler: LabelEngine {
  let model = ModelDescription(name: "fake", role: "labeler", architecture: "area")
  let looked = Atomic<Int>(0)
  let read = Atomic<Int>(0)
  let answered = Atomic<Int>(0)
  let prefixBytes: Int

  init(prefixBytes: Int = 20) { self.prefixBytes = prefixBytes }

  func look(_ image: Image) throws -> any Held {
    looked.add(1, ordering: .relaxed)
    return FakeMemory(byteCount: 10)
  }
  func read(_ features: any Held, priority: Int, isCancelled: () -> Bool) throws -> any Held {
    read.add(1, ordering: .relaxed)
    return FakeMemory(byteCount: prefixBytes)
  }

  func words(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool,
    report: (Int, Words) -> Void
  ) throws {
    for (index, mask) in masks.enumerated() {
      answered.add(1, ordering: .relaxed)
      let evidence = JSONValue(entries: [("question", .string("\(wish.temperature ?? 0) \(wish.history.count)"))])
      report(index, Words(label: "area \(mask.area)", score: 0.5, evidence: evidence))
    }
  }

  func answer(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool
  ) throws -> Words {
    Words(label: "\(masks.count) masks, \(wish.history.count) turns", score: 0.25)
  }
}

enum Pictures {
  static let image = Image(
    width: 32, height: 24, pixels: (0..<32 * 24 * 3).map { UInt8(truncatingIfNeeded: $0 * 7) })
  static func png() throws -> [UInt8] { try image.encodedPNG() }
  static func jpeg() throws -> [UInt8] { try image.encodedJPEG(quality: 90) }

  /// A message that asks for the words of a click into it.
  static func question(_ id: String, priority: Int = 0) throws -> [[UInt8]] {
    let header =
      #"{"v":1,"op":"label","id":"\#(id)","priority":\#(priority),"image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[16,12]],"point_labels":[1]}]}"#
    return [Array(header.utf8), try png()]
  }

  /// The beginning of a PNG that says it is 100,000 × 100,000.
  static func hugePNG() throws -> [UInt8] {
    var bytes = try png()
    for (offset, byte) in [0x00, 0x01, 0x86, 0xA0, 0x00, 0x01, 0x86, 0xA0].enumerated() {
      bytes[16 + offset] = UInt8(byte)
    }
    return bytes
  }
}

/// A started daemon on a free loopback port, with raw sockets to it.
final class Rig {
  let server: Server
  let context: Context
  let segmenter: FakeSegmenter
  let labeler = FakeLabeler()
  var endpoint: String { server.endpoints[0] }
  var control: String { server.controlEndpoints[0] }

  init(
    gate: DispatchSemaphore? = nil, found: DispatchSemaphore? = nil, extra: [String] = [], limits: WireLimits = .init(),
    logits: Int = 2, _ change: (inout Configuration) -> Void = { _ in }
  ) throws {
    segmenter = FakeSegmenter(gate: gate, found: found, logits: logits)
    var configuration = Configuration(
      endpoints: ["tcp://127.0.0.1:*"] + extra, controlEndpoints: ["tcp://127.0.0.1:*"])
    change(&configuration)
    let pipeline = Pipeline(segmenter: segmenter, labeler: labeler, version: "test", limits: limits)
    server = try Server(configuration, pipeline)
    try server.start()
    context = try Context()
  }

  func socket(_ kind: SocketKind = .dealer, to endpoint: String? = nil) throws -> Socket {
    let socket = try Socket(context, kind)
    try socket.connect(endpoint ?? self.endpoint)
    return socket
  }

  /// Sends frames as they are and reads the reply's header.
  func ask(_ frames: [[UInt8]], to endpoint: String? = nil) throws -> JSONValue {
    let socket = try socket(to: endpoint)
    try socket.send(frames)
    return try Self.header(socket)
  }

  func ask(_ header: String, _ blobs: [[UInt8]] = [], to endpoint: String? = nil) throws -> JSONValue {
    try ask([Array(header.utf8)] + blobs, to: endpoint)
  }

  static func header(_ socket: borrowing Socket) throws -> JSONValue {
    let frames = try socket.receive(timeout: 20_000).frames
    return try JSONValue(parsing: frames.first { !$0.isEmpty } ?? [])
  }

  func stop() throws {
    server.drain()
    try server.wait()
  }

  func isServing() throws -> Bool {
    try ask(
      #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[5,5]],"point_labels":[1]}]}"#,
      [Pictures.png()])["masks"]?[0]?["label"]?.string != nil
  }
}

/// A folder for its owner alone that goes away with the value.
final class Folder {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString)").path

  init() throws {
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
