import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

@Suite struct GuardTests {
  @Test func oneClientDoesNotShutOutTheOthers() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate) { $0.queuePerClient = 1 }
    let greedy = try rig.socket()
    let modest = try rig.socket()
    try greedy.send(Pictures.question("a"))
    rig.segmenter.started.wait()
    for id in 0..<20 {
      let start = ContinuousClock.now
      try greedy.send(Pictures.question("b\(id)"))
      let refused = try Rig.header(greedy)
      #expect(.now - start < .milliseconds(50))
      #expect(refused["error"]?["code"] == .string("busy") && refused["error"]?["retry_after_ms"]?.integer ?? 0 > 0)
    }
    try modest.send(Pictures.question("c"))
    for _ in 0..<2 { gate.signal() }
    #expect(try Rig.header(greedy)["masks"] != nil)
    #expect(try Rig.header(modest)["masks"] != nil)
    // What is finished is given back.
    try greedy.send(Pictures.question("d"))
    gate.signal()
    #expect(try Rig.header(greedy)["masks"] != nil)
    let stats = try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)
    #expect(stats["clients"] == .integer(0) && stats["active_bytes"] == .integer(0))
    try rig.stop()
  }

  @Test func bytesOfAClientAreBounded() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate) { $0.queueBytesPerClient = 10 }
    let socket = try rig.socket()
    // One request always fits.
    try socket.send(Pictures.question("a"))
    rig.segmenter.started.wait()
    try socket.send(Pictures.question("b"))
    #expect(try Rig.header(socket)["error"]?["code"] == .string("busy"))
    gate.signal()
    #expect(try Rig.header(socket)["masks"] != nil)
    try rig.stop()
  }

  @Test func aRequestSentManyTimesRunsOnce() throws {
    let gate = DispatchSemaphore(value: 0)
    let rig = try Rig(gate: gate)
    let socket = try rig.socket()
    for _ in 0..<40 { try socket.send(Pictures.question("a")) }
    rig.segmenter.started.wait()
    while try rig.ask(#"{"v":1,"op":"stats"}"#, to: rig.control)["repeated"] != .integer(39) {}
    // Beyond some copies of the reply it is told that they are coming.
    for _ in 0..<24 { #expect(try Rig.header(socket)["error"]?["code"] == .string("busy")) }
    gate.signal()
    for _ in 0..<16 { #expect(try Rig.header(socket)["masks"] != nil) }
    #expect(rig.labeler.answered.load(ordering: .relaxed) == 1)
    try rig.stop()
  }

  @Test func onlyAuthorisedKeysComeIn() throws {
    let folder = try Folder()
    let keys = KeyFolder(path: folder.path)
    let server = try keys.makeServerKeys()
    #expect(try keys.makeServerKeys() == server)
    let file = "\(folder.path)/robot.key"
    try keys.makeClientKeys(name: "robot", file: file)
    let secret = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    let robot = try CurveKeyPair(secretKey: secret)
    let ipc = "ipc://\(folder.path)/pandion.sock"
    let rig = try Rig(extra: [ipc]) { $0.keys = keys }

    func reply(_ keys: CurveKeyPair?, server: String, timeout: Int) throws -> Bool {
      let socket = try Socket(rig.context, .dealer)
      if let keys { try socket.useCurve(keys, serverKey: server) }
      try socket.connect(rig.endpoint)
      try socket.send([Array(#"{"v":1,"op":"hello"}"#.utf8)])
      return (try? socket.receive(timeout: timeout)) != nil
    }
    #expect(try reply(robot, server: server, timeout: 5000))
    #expect(try !reply(CurveKeyPair(), server: server, timeout: 300))
    #expect(try !reply(robot, server: CurveKeyPair().publicKey, timeout: 300))
    #expect(try !reply(nil, server: server, timeout: 300))
    // ipc is guarded by its folder.
    #expect(try rig.ask(#"{"v":1,"op":"hello"}"#, to: ipc)["name"] == .string("pandion"))
    // Without the folder of keys nobody comes in.
    try FileManager.default.removeItem(atPath: "\(folder.path)/authorised")
    #expect(try !reply(robot, server: server, timeout: 300))
    try rig.stop()
  }

  /// The authenticator would wait for a writer, and let nobody in meanwhile.
  @Test func whatIsNoFileOfKeysIsPassedOver() throws {
    let folder = try Folder()
    let keys = KeyFolder(path: folder.path)
    _ = try keys.makeServerKeys()
    #expect(mkfifo("\(folder.path)/authorised/aaa.pub", 0o600) == 0)
    #expect(mkdir("\(folder.path)/authorised/bbb.pub", 0o700) == 0)
    let file = "\(folder.path)/robot.key"
    try keys.makeClientKeys(name: "robot", file: file)
    let robot = try CurveKeyPair(secretKey: KeyFolder.key(inFile: file))
    let bytes = try #require(CurveKeyPair.bytes(robot.publicKey))
    #expect(keys.isAuthorised(bytes) && !keys.isAuthorised(bytes, as: .worker))
    // A name is taken once, and no secret is left of the second.
    #expect(throws: DaemonError.self) { try keys.makeClientKeys(name: "robot", file: "\(folder.path)/second.key") }
    #expect(access("\(folder.path)/second.key", F_OK) != 0)
  }

  @Test func aSocketOfARunningDaemonIsNotTaken() throws {
    let folder = try Folder()
    let ipc = "ipc://\(folder.path)/pandion.sock"
    let rig = try Rig(extra: [ipc])
    let second = try Server(
      Configuration(endpoints: ["tcp://127.0.0.1:*", ipc]), Pipeline(segmenter: nil, labeler: nil))
    #expect(throws: DaemonError.inUse(ipc)) { try second.start() }
    #expect(try rig.ask(#"{"v":1,"op":"hello"}"#, to: ipc)["name"] == .string("pandion"))
    try rig.stop()
    // One that nobody listens on any more is.
    let third = try Server(Configuration(endpoints: [ipc]), Pipeline(segmenter: nil, labeler: nil))
    try third.start()
    third.drain()
    try third.wait()
  }

  @Test func keysAreKeptToTheirOwner() throws {
    let folder = try Folder()
    let keys = KeyFolder(path: folder.path)
    #expect(throws: DaemonError.self) { try keys.serverKeys() }
    _ = try keys.makeServerKeys()
    #expect(throws: DaemonError.self) { try keys.makeClientKeys(name: "../robot", file: "\(folder.path)/x.key") }
    chmod("\(folder.path)/server.key", 0o644)
    #expect(throws: DaemonError.self) { try keys.serverKeys() }
  }

  @Test func zapRefusesWhateverIsNotWhole() {
    let key = [UInt8](repeating: 7, count: 32)
    let good = ["1.0", "5", "pandion", "127.0.0.1", "", "CURVE"].map { Array($0.utf8) } + [key]
    func status(_ frames: [[UInt8]], isListed: Bool = true) -> String {
      String(decoding: Authenticator.answer(frames) { _ in isListed }[2], as: UTF8.self)
    }
    #expect(status(good) == "200")
    #expect(status(good, isListed: false) == "400")
    for index in [0, 2, 5, 6] {
      var bad = good
      bad[index] = [1, 2, 3]
      #expect(status(bad) == "400")
    }
    let local = ["1.0", "5", "pandion-local", "", "", "NULL"].map { Array($0.utf8) }
    #expect(status(local, isListed: false) == "200")
    var remote = local
    remote[2] = good[2]
    #expect(status(remote) == "400")
    for count in 0..<7 { #expect(status(Array(good.prefix(count))) == "400") }
    #expect(status(good + [[]]) == "400")
  }

  @Test(arguments: [
    ("tcp://127.0.0.1:5560", true), ("tcp://localhost:*", true), ("tcp://[::1]:1", true), ("ipc:///tmp/x", true),
    ("tcp://0.0.0.0:5560", false), ("tcp://*:5560", false), ("tcp://eth0:1", false), ("tcp://127.example.org:1", false),
    ("tcp://10.0.0.1:127", false), ("udp://127.0.0.1:1", false), ("tcp://", false),
  ])
  func onlyLoopbackIsOpenWithoutKeys(_ endpoint: String, _ isLocal: Bool) throws {
    #expect(EndpointSafety.isLocal(endpoint) == isLocal)
    var configuration = Configuration(endpoints: ["tcp://127.0.0.1:*"], controlEndpoints: [endpoint])
    if isLocal {
      try EndpointSafety.check(configuration)
    } else {
      #expect(throws: DaemonError.openEndpoint(endpoint)) { try EndpointSafety.check(configuration) }
    }
    configuration.insecure = true
    try EndpointSafety.check(configuration)
  }
}
