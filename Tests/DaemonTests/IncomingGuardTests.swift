import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct IncomingGuardTests {
  private typealias Arrival = IncomingGuard.Arrival
  private static let limits = IncomingGuard.Limits(message: 100, all: 200, growth: 1000, small: 20)

  private func cut(_ bytes: [Int], memory: Int = 0) -> [Int32] {
    let arrivals = bytes.enumerated().map { (Int32($0), Arrival(base: 0, memory: 0, bytes: $1)) }
    return IncomingGuard.excessive(Dictionary(uniqueKeysWithValues: arrivals), Self.limits, memory: memory)
      .map(\.descriptor)
  }

  @Test func onlyWhatIsTooMuchIsCut() {
    #expect(cut([]) == [] && cut([100, 90]) == [] && cut([0, 5]) == [])
    #expect(cut([10, 101, 50]) == [1])
    // The largest goes first, until the rest fits.
    #expect(cut([90, 60, 80]) == [0])
    #expect(cut([100, 90, 80, 70, 5]) == [0, 1])
    // Many small ones are let be.
    #expect(cut(Array(repeating: 20, count: 20)) == [])
    // Where the process has grown too much, one at a time, and none that has sent next to nothing.
    #expect(cut([30, 40], memory: 1001) == [1] && cut([10, 20], memory: 1001) == [] && cut([30], memory: 1000) == [])
  }

  /// A TCP connection that has shaken hands as some kind of socket, without the library, which would not send half a message.
  private final class Raw {
    let descriptor: Int32

    /// Connects.
    convenience init(_ endpoint: String, as kind: String) throws {
      let descriptor = Loopback.connect(try Loopback.port(of: endpoint))
      try #require(descriptor >= 0)
      try self.init(descriptor, as: kind)
    }

    init(_ descriptor: Int32, as kind: String) throws {
      self.descriptor = descriptor
      let mechanism = Array("NULL".utf8) + [UInt8](repeating: 0, count: 16)
      let signature: [UInt8] = [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3, 0]
      #expect(send(signature + mechanism + [UInt8](repeating: 0, count: 32)))
      let name = [UInt8(kind.utf8.count)] + Array(kind.utf8)
      let ready = [5] + Array("READY".utf8) + [11] + Array("Socket-Type".utf8) + [0, 0, 0] + name
      #expect(send([4, UInt8(ready.count)] + ready))
      // Only once both sides are ready may a message come: its greeting, then its READY with its size.
      let greeting = try receive(66)
      _ = try receive(Int(greeting[65]))
    }

    /// Whether the connection still takes it all.
    func send(_ bytes: [UInt8]) -> Bool {
      var sent = 0
      while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
          Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
        }
        if count <= 0 { return false }
        sent += count
      }
      return true
    }

    /// Whether the other side has not ended it.
    var isOpen: Bool {
      var bytes = [UInt8](repeating: 0, count: 1 << 16)
      var count = 1
      while count > 0 { count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT)) }
      return count < 0 && (errno == EAGAIN || errno == EINTR)
    }

    private func receive(_ count: Int) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: count)
      try #require(recv(descriptor, &bytes, count, Int32(MSG_WAITALL)) == count)
      return bytes
    }

    deinit { close(descriptor) }
  }

  /// Listens for one who connects.
  private final class RawListener {
    private let descriptor: Int32
    let port: UInt16

    init() throws { (descriptor, port) = try Loopback.listen() }

    func accept(as kind: String) throws -> Raw {
      let connection = Glibc.accept(descriptor, nil, nil)
      try #require(connection >= 0)
      return try Raw(connection, as: kind)
    }

    deinit { close(descriptor) }
  }

  /// A message that never ends, in frames of a byte each, ends its connection: a client's, a camera's that sends, and one's that
  /// is connected to.
  @Test(.timeLimit(.minutes(2)), arguments: ["DEALER", "PUSH", "PUB"]) func aMessageWithoutEndIsCut(kind: String) throws
  {
    let listener = try RawListener()
    let rig = try Rig {
      var cameras = CameraSettings()
      (cameras.endpoints, cameras.results) = (["tcp://127.0.0.1:*"], ["tcp://127.0.0.1:*"])
      if kind == "PUB" { cameras.publishers = ["tcp://127.0.0.1:\(listener.port)"] }
      $0.cameras = cameras
      $0.incoming = IncomingGuard.Limits(message: 1 << 20, all: 4 << 20, growth: 1 << 30, small: 1 << 16)
    }
    let raw =
      kind == "PUB"
      ? try listener.accept(as: kind)
      : try Raw(kind == "PUSH" ? rig.server.cameraEndpoints[0] : rig.endpoint, as: kind)
    // A whole message first, and one with a gap in it; neither is too large.
    #expect(raw.send([0, 22] + Array(#"{"v":1,"op":"models"} "#.utf8)))
    #expect(raw.send([1, 22] + Array(#"{"v":1,"op":"models"} "#.utf8)))
    usleep(600_000)
    #expect(raw.send([0, 1, 7]))
    let frames = [UInt8]((0..<10_000).map { _ -> [UInt8] in [1, 1, 7] }.joined())
    var sent = 0
    while raw.send(frames) {
      sent += frames.count
      guard sent < 1 << 30 else { break }
      usleep(10_000)
    }
    #expect(sent > 1 << 19 && sent < 1 << 28)
    let stats = try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)
    #expect(stats["cut"] == .integer(1))
    let stream = #"{"v":1,"op":"models"} "#
    let messages = kind == "DEALER" ? stats["requests"]?["models"] : stats["cameras"]?["streams"]?[stream]?["received"]
    #expect(messages == .integer(2))
    #expect(try rig.isServing())
    try rig.stop()
  }

  /// A message that takes longer than a silence may is let come; one that stands still is not waited for. Who says nothing may.
  @Test func aSlowMessageComesAndOneThatStandsStillEnds() throws {
    let rig = try Rig {
      $0.incoming = IncomingGuard.Limits(
        message: 1 << 20, all: 4 << 20, growth: 1 << 30, silence: .seconds(7), begun: 300)
    }
    let (slow, silent) = (try Raw(rig.endpoint, as: "DEALER"), try Raw(rig.endpoint, as: "DEALER"))
    let still = try Raw(rig.endpoint, as: "DEALER")
    #expect(still.send([0, 255] + [UInt8](repeating: 32, count: 250)))
    let request = Array(#"{"v":1,"op":"models"}"#.utf8) + [UInt8](repeating: 32, count: 200)
    #expect(slow.send([0, UInt8(request.count)]))
    for piece in stride(from: 0, to: request.count, by: 10) {
      #expect(slow.send(Array(request[piece..<min(piece + 10, request.count)])))
      usleep(1_000_000)
    }
    let requests = try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["requests"]
    #expect(requests?["models"] == .integer(1))
    #expect(slow.send([0, 1, 7]) && silent.isOpen && !still.isOpen && slow.isOpen)
    #expect(try rig.isServing())
    try rig.stop()
  }
}
