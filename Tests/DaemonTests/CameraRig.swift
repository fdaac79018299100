import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// A socket that goes into a list.
final class Wrapped {
  let socket: Socket
  init(_ socket: consuming Socket) { self.socket = socket }
}

/// A daemon with cameras: one that pushes frames, and one who reads results.
final class CameraRig {
  let rig: Rig
  let camera: Socket
  let reader: Socket

  struct Result {
    var stream: String
    var header: JSONValue
    var blobs: [[UInt8]]
    var seq: Int? { header["seq"]?.integer }
    var code: String? { header["error"]?["code"]?.string }
  }

  init(
    gate: DispatchSemaphore? = nil, found: DispatchSemaphore? = nil, limits: WireLimits = .init(), logits: Int = 2,
    _ change: @escaping (inout Configuration, inout CameraSettings) -> Void = { _, _ in }
  ) throws {
    rig = try Rig(gate: gate, found: found, limits: limits, logits: logits) { configuration in
      var cameras = CameraSettings()
      (cameras.endpoints, cameras.results) = (["tcp://127.0.0.1:*"], ["tcp://127.0.0.1:*"])
      change(&configuration, &cameras)
      configuration.cameras = cameras
    }
    camera = try Socket(rig.context, .push, highWater: 4)
    if let endpoint = rig.server.cameraEndpoints.first { try camera.connect(endpoint) }
    reader = try Self.reader(rig.context, rig.server.resultEndpoints[0])
    try awaitReader()
  }

  static func reader(_ context: Context, _ endpoint: String, topic: String = "") throws -> Socket {
    let socket = try Socket(context, .sub)
    try socket.subscribe(to: Array(topic.utf8))
    try socket.connect(endpoint)
    return socket
  }

  /// What is published before somebody is there is lost.
  private func awaitReader() throws {
    guard !rig.server.cameraEndpoints.isEmpty else { return }
    for _ in 0..<500 {
      try camera.send([Array("hello".utf8), Array("?".utf8)])
      if (try? reader.receive(timeout: 20)) != nil {
        // Those that came late.
        while (try? reader.receive(timeout: 200)) != nil {}
        return
      }
    }
    Issue.record("no result comes")
  }

  /// A frame whose picture is like no other's.
  static func frame(_ stream: String, _ number: Int, op: String? = nil, more: String = "") -> [[UInt8]] {
    let operation = op ?? #""op":"segment","multimask":false,"prompts":[{"points":[[16,12]],"point_labels":[1]}]"#
    let header =
      #"{"v":1,\#(operation),"image":{"blob":0,"encoding":"rgb8","width":32,"height":24},"stamp":{"sec":\#(number),"nanosec":7},"frame_id":"\#(stream)_optical"\#(more)}"#
    let pixels = (0..<32 * 24 * 3).map {
      UInt8(truncatingIfNeeded: $0 < 8 ? number >> (8 * $0) : $0 ^ stream.utf8.count)
    }
    return [Array(stream.utf8), Array(header.utf8), pixels]
  }

  func send(_ stream: String, _ number: Int, op: String? = nil, more: String = "") throws {
    try camera.send(Self.frame(stream, number, op: op, more: more))
  }

  func result(timeout: Int = 20_000) throws -> Result {
    let frames = try reader.receive(timeout: timeout).frames
    return Result(
      stream: String(decoding: frames[0], as: UTF8.self), header: try JSONValue(parsing: frames[1]),
      blobs: Array(frames.dropFirst(2)))
  }

  func stats() throws -> JSONValue { try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control) }

  func counts(_ stream: String) throws -> [Int] {
    let counts = try stats()["cameras"]?["streams"]?[stream]
    return ["received", "answered", "errors", "dropped"].map { counts?[$0]?.integer ?? -1 }
  }

  /// Waits until so many frames of a stream have come in.
  func awaitReceived(_ stream: String, _ count: Int) throws {
    for _ in 0..<2000 where try counts(stream)[0] < count { usleep(2000) }
    #expect(try counts(stream)[0] == count)
  }

  func stop() throws { try rig.stop() }
}
