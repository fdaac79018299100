import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct HostileCameraTests {
  @Test func malformedFramesAreToldOfAndCounted() throws {
    let schemas = try SchemaValidator(
      folder: URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Docs/schemas"))
    var limits = WireLimits()
    (limits.blobs, limits.blobBytes, limits.headerBytes) = (2, 10_000, 2000)
    let rig = try CameraRig(limits: limits)
    let good = CameraRig.frame("s", 1)
    let cases: [(frames: [[UInt8]], code: String, reason: String)] = [
      ([good[0]], "bad_request", "it is empty"),
      ([good[0], Array("{".utf8), good[2]], "bad_request", "not JSON"),
      ([good[0], good[1]], "bad_request", "image.blob is 0 but the message has 0 blobs"),
      ([good[0], good[1], Array(good[2].dropLast())], "bad_request", "image:"),
      ([good[0], Array(#"{"v":1,"op":"hello"}"#.utf8)], "bad_request", "of a camera's frame it is one of segment"),
      ([good[0], Array(#"{"v":2,"op":"auto"}"#.utf8)], "bad_request", "v is 2"),
      (
        [good[0], Array(#"{"v":1,"op":"auto","stream":true,"frame_id":"cam","priority":"high"}"#.utf8)], "bad_request",
        "priority"
      ),
      (good + [[1], [2]], "too_large", "3 blobs"),
      (good + [[UInt8](repeating: 0, count: 8000)], "too_large", "bytes together"),
      ([good[0], good[1] + [UInt8](repeating: 32, count: 2000), good[2]], "too_large", "the header has"),
    ]
    for (index, wrong) in cases.enumerated() {
      try rig.camera.send(wrong.frames)
      let result = try rig.result()
      #expect(result.stream == "s" && result.seq == index + 1 && result.code == wrong.code, "\(wrong.reason)")
      #expect(result.header["error"]?["message"]?.string?.contains(wrong.reason) == true, "\(result.header)")
      #expect(try schemas.faults(result.header, "error.json") == [])
      #expect((result.header["frame_id"] == .string("cam")) == (wrong.reason == "priority"))
    }
    #expect(try rig.counts("s") == [cases.count, cases.count, cases.count, 0])
    // Those that do not tell whose they are.
    for stream in [[], [UInt8](repeating: 0x61, count: 256), [0xFF], [0xC3]] {
      try rig.camera.send([stream, good[1], good[2]])
    }
    try rig.camera.send(good)
    #expect(try rig.result().header["masks"] != nil)
    let stats = try rig.stats()
    #expect(stats["cameras"]?["unnamed"] == .integer(4))
    #expect(try schemas.faults(stats, "stats.reply.json") == [])
    // A name may have any 255 bytes of UTF-8.
    let long = String(repeating: "é", count: 127) + "\u{1}"
    try rig.send(long, 1)
    #expect(try rig.result().stream == long)
    try rig.stop()
  }

  @Test func aMalformedFrameDoesNotPushOutAGoodOne() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try CameraRig(gate: gate)
    try rig.send("s", 1)
    rig.rig.segmenter.started.wait()
    try rig.send("s", 2)
    try rig.camera.send([Array("s".utf8), Array("{".utf8)])
    #expect(try rig.result().seq == 3)
    for _ in 0..<2 { gate.signal() }
    #expect([try rig.result().seq, try rig.result().seq] == [1, 2])
    #expect(try rig.counts("s") == [3, 3, 1, 0])
    try rig.stop()
  }

  /// Hundreds of frames of a megabyte while nothing is worked on take no more than they may.
  @Test func aFloodOfFramesTakesBoundedMemory() async {
    await #expect(processExitsWith: .success) {
      // Other tests' memory is not in this process.
      let gate = DispatchSemaphore(value: 0)
      let most = 8 << 20
      let rig = try CameraRig(gate: gate) { $1.bytes = most }
      try rig.send("s0", 0)
      rig.rig.segmenter.started.wait()
      let before = IncomingGuard.residentBytes
      let pixels = [UInt8](repeating: 9, count: 1 << 20)
      let header = Array(
        #"{"v":1,"op":"auto","image":{"blob":0,"encoding":"mono8","width":1024,"height":1024}}"#.utf8)
      for number in 0..<400 {
        try rig.camera.send([Array("s\(number % 20)".utf8), header, pixels])
        if number % 100 == 99 {
          #expect(try rig.stats()["cameras"]?["bytes"]?.integer ?? .max <= most)
          #expect(try rig.rig.ask(#"{"v":1,"op":"hello"}"#)["name"] != nil)
        }
      }
      for stream in 0..<20 { try rig.awaitReceived("s\(stream)", stream == 0 ? 21 : 20) }
      #expect(IncomingGuard.residentBytes - before < 100 << 20)
      var (received, dropped) = (0, 0)
      for stream in 0..<20 {
        let counts = try rig.counts("s\(stream)")
        received += counts[0]
        dropped += counts[3]
      }
      // Three are in work, and seven or so of a megabyte wait.
      #expect(received == 401 && (389...394).contains(dropped))
      for _ in 0..<20 { gate.signal() }
      try rig.stop()
    }
  }

  @Test func streamsAreBoundedInNumber() throws {
    // The one that the rig has asked with is the first.
    let rig = try CameraRig { $1.streams = 2 }
    try rig.send("a", 1)
    #expect(try rig.result().code == nil)
    for number in 0..<100 { try rig.send("more\(number)", number) }
    let refused = try rig.result()
    #expect(refused.stream == "more0" && refused.code == "busy" && refused.seq == nil)
    #expect(refused.header["error"]?["retry_after_ms"] == .integer(10_000))
    try rig.send("a", 2)
    var result = try rig.result()
    while result.stream != "a" { result = try rig.result() }
    #expect(result.seq == 2)
    #expect(try rig.stats()["cameras"]?["turned_away"] == .integer(100))
    try rig.stop()
  }

  /// Who subscribes and does not read costs a bounded amount; others get their results.
  @Test(arguments: [4, 64]) func unreadResultsAreBounded(megabytes: Int) throws {
    let folder = try Folder()
    let ipc = "ipc://\(folder.path)/results.sock"
    let most = megabytes << 20
    let rig = try CameraRig(logits: 1 << 18) { _, cameras in
      cameras.results.append(ipc)
      cameras.unreadBytes = most
    }
    let deaf = try Socket(rig.rig.context, .sub, highWater: 1)
    try deaf.subscribe(to: [])
    try deaf.connect(ipc)
    usleep(300_000)
    let op = #""op":"segment","multimask":false,"logits":true,"prompts":[{"points":[[16,12]]}]"#
    var read = 0
    let count = 16
    for number in 0..<count {
      try rig.send("s", number, op: op)
      try rig.awaitReceived("s", number + 1)
      while try rig.counts("s")[1] <= number { usleep(1000) }
      if let result = try? rig.result(timeout: 200) {
        read += 1
        #expect(result.blobs.map(\.count) == [1 << 20])
      }
      let cameras = try rig.stats()["cameras"]
      // Eight of them wait here for the deaf one, and some in its own process.
      #expect(cameras?["unread_bytes"]?.integer ?? .max <= min(most, 12 << 20))
    }
    let lost = try rig.stats()["cameras"]?["lost"]?.integer ?? 0
    #expect(lost + read == count)
    // Where it has cost what all may, nobody gets more until it reads or goes.
    if megabytes > 12 { #expect(lost == 0) } else { #expect(lost > 0 && read > 1) }
    // Once it has read, all is as before.
    while (try? deaf.receive(timeout: 300)) != nil {}
    try rig.send("s", 1000, op: op)
    #expect(try rig.result().header["stamp"]?["sec"] == .integer(1000))
    try rig.stop()
  }

  @Test func onlyAuthorisedKeysComeIn() throws {
    let folder = try Folder()
    let keys = KeyFolder(path: folder.path)
    let server = try keys.makeServerKeys()
    try keys.makeClientKeys(name: "camera", file: "\(folder.path)/camera.key")
    let pair = try GuestKeys(file: "\(folder.path)/camera.key", serverFile: "\(folder.path)/server.pub").pair
    let stranger = try CurveKeyPair()
    let context = try Context()
    // A camera that publishes, and lets in whoever has its key; without an authenticator the library asks for no more.
    let publisher = try Socket(context, .pub)
    let cameraKeys = try CurveKeyPair()
    try publisher.requireCurve(secretKey: cameraKeys.secretKey, domain: "camera")
    let published = try publisher.bind("tcp://127.0.0.1:*")
    try Data(cameraKeys.publicKey.utf8).write(to: URL(fileURLWithPath: "\(folder.path)/published.pub"))

    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"], controlEndpoints: ["tcp://127.0.0.1:*"])
    var cameras = CameraSettings()
    (cameras.endpoints, cameras.results) = (["tcp://127.0.0.1:*"], ["tcp://127.0.0.1:*"])
    cameras.publishers = [published]
    cameras.keys = try GuestKeys(file: "\(folder.path)/camera.key", serverFile: "\(folder.path)/published.pub")
    (configuration.keys, configuration.cameras) = (keys, cameras)
    let daemon = try Server(configuration, Pipeline(segmenter: FakeSegmenter(), labeler: nil))
    try daemon.start()

    func connected(_ kind: SocketKind, _ keys: CurveKeyPair?, _ endpoint: String) throws -> Wrapped {
      let socket = try Socket(context, kind)
      if kind == .sub { try socket.subscribe(to: []) }
      if let keys { try socket.useCurve(keys, serverKey: server) }
      try socket.connect(endpoint)
      return Wrapped(socket)
    }
    let pushing = try connected(.push, pair, daemon.cameraEndpoints[0])
    let outside = [
      try connected(.push, nil, daemon.cameraEndpoints[0]), try connected(.push, stranger, daemon.cameraEndpoints[0]),
    ]
    let reading = try connected(.sub, pair, daemon.resultEndpoints[0])
    let deaf = [
      try connected(.sub, nil, daemon.resultEndpoints[0]), try connected(.sub, stranger, daemon.resultEndpoints[0]),
    ]
    var streams: Set<String> = []
    for number in 0..<500 where !streams.isSuperset(of: ["pushed", "published"]) || number < 20 {
      try pushing.socket.send(CameraRig.frame("pushed", number))
      try publisher.send(CameraRig.frame("published", number))
      for index in outside.indices { try? outside[index].socket.send(CameraRig.frame("stranger", number), timeout: 0) }
      while let frames = (try? reading.socket.receive(timeout: 20))?.frames {
        streams.insert(String(decoding: frames[0], as: UTF8.self))
      }
    }
    #expect(streams == ["pushed", "published"])
    for index in deaf.indices { #expect((try? deaf[index].socket.receive(timeout: 100)) == nil) }
    daemon.drain()
    try daemon.wait()
  }

  @Test func otherMachinesNeedKeys() throws {
    func check(_ change: (inout Configuration, inout CameraSettings) -> Void) throws {
      var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"])
      var cameras = CameraSettings()
      change(&configuration, &cameras)
      configuration.cameras = cameras
      try EndpointSafety.check(configuration)
    }
    #expect(throws: DaemonError.openEndpoint("tcp://0.0.0.0:1")) { try check { $1.endpoints = ["tcp://0.0.0.0:1"] } }
    #expect(throws: DaemonError.openEndpoint("tcp://*:1")) { try check { $1.results = ["tcp://*:1"] } }
    #expect(throws: DaemonError.unknownCamera("tcp://robot:5570")) {
      try check { configuration, cameras in
        // The daemon's own keys say nothing of the camera.
        configuration.keys = KeyFolder(path: "keys")
        cameras.publishers = ["tcp://127.0.0.1:5570", "tcp://robot:5570"]
      }
    }
    try check { configuration, cameras in
      configuration.insecure = true
      cameras.publishers = ["tcp://robot:5570"]
      cameras.results = ["tcp://0.0.0.0:1"]
    }
    try check { $1.publishers = ["tcp://127.0.0.1:5570", "ipc:///run/camera.sock"] }
    let folder = try Folder()
    chmod(folder.path, 0o755)
    for isResult in [false, true] {
      #expect(throws: DaemonError.self) {
        try CameraRig { _, cameras in
          let endpoint = "ipc://\(folder.path)/x.sock"
          if isResult { cameras.results = [endpoint] } else { cameras.endpoints = [endpoint] }
        }
      }
    }
  }
}
