import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// `auto` and `label` with `auto` tell of masks on the way.
@Suite struct StreamedAutoTests {
  private func message(_ fields: String) throws -> [[UInt8]] {
    [Array(#"{"v":1,"id":"a","image":{"blob":0,"encoding":"png"},\#(fields)}"#.utf8), try Pictures.png()]
  }

  private func ids(_ reply: JSONValue) -> [Int]? { reply["masks"]?.array?.compactMap { $0["id"]?.integer } }

  private func without(_ keys: Set<String>, _ reply: JSONValue) -> JSONValue {
    guard case .object(let object) = reply else { return reply }
    return .object(JSONObject(object.entries.filter { !keys.contains($0.key) }.map { ($0.key, $0.value) }))
  }

  @Test func masksComeOnTheWayAndTheListInTheEndIsTheSame() throws {
    let found = DispatchSemaphore(value: 0)
    let rig = try Rig(found: found)
    let socket = try rig.socket()
    try socket.send(message(#""op":"auto","stream":true"#))
    // The search goes on until it is let end.
    let partials = [try Rig.header(socket), try Rig.header(socket)]
    #expect(partials.map(ids) == [[0], [1, 2]])
    for (seq, partial) in partials.enumerated() {
      #expect(partial["seq"] == .integer(seq) && partial["final"] == .bool(false))
      #expect(partial["provisional"] == .bool(true) && partial["image"]?["handle"] != nil)
      #expect(partial["masks"]?[0]?["segmentation"]?["counts"]?.string != nil)
    }
    found.signal()
    let last = try Rig.header(socket)
    #expect(last["seq"] == .integer(2) && last["final"] == .bool(true) && last["provisional"] == nil)
    found.signal()
    let plain = try rig.ask(message(#""op":"auto""#))
    #expect(without(["seq"], last) == plain)
    try rig.stop()
  }

  @Test func noMoreAreToldOfThanWereAskedFor() throws {
    let rig = try Rig()
    let socket = try rig.socket()
    try socket.send(message(#""op":"auto","stream":true,"max_masks":2,"masks":"label_map""#))
    let replies = [try Rig.header(socket), try Rig.header(socket), try Rig.header(socket)]
    #expect(replies.map(ids) == [[0], [1], [0, 1]])
    #expect(replies.map { $0["masks"]?[0]?["value"]?.integer } == [1, 1, 1])
    #expect(replies.map { $0["provisional"]?.bool } == [true, true, nil])
    try rig.stop()
  }

  @Test func wordsFollowTheMasksThatStay() throws {
    let rig = try Rig()
    let socket = try rig.socket()
    try socket.send(message(#""op":"label","auto":true,"stream":true"#))
    var replies: [JSONValue] = []
    repeat { replies.append(try Rig.header(socket)) } while replies.last?["final"] != .bool(true)
    #expect(replies.map { $0["provisional"]?.bool } == [true, true, nil, nil])
    #expect(replies.map(ids) == [[0], [1, 2], [0, 1, 2], [0, 1, 2]])
    #expect(replies.map { $0["masks"]?[0]?["label"] != nil } == [false, false, false, true])
    let plain = try rig.ask(message(#""op":"label","auto":true"#))
    #expect(replies.last.map { without(["seq"], $0) } == plain)
    try rig.stop()
  }

  @Test func cancelEndsItOnTheWay() throws {
    let rig = try Rig(found: DispatchSemaphore(value: 0))
    let socket = try rig.socket()
    try socket.send(message(#""op":"auto","stream":true"#))
    #expect(try Rig.header(socket)["provisional"] == .bool(true))
    #expect(try rig.ask(#"{"v":1,"op":"cancel","request":"a"}"#, to: rig.control)["cancelled"] == .integer(1))
    #expect(try Rig.header(socket)["provisional"] == .bool(true))
    let last = try Rig.header(socket)
    #expect(last["error"]?["code"] == .string("cancelled") && last["final"] == .bool(true))
    try rig.stop()
  }

  @Test func workersTellOfThemToo() throws {
    let (here, there) = (try Rig(), try WorkerRig())
    let worker = try there.worker("a")
    let first = try here.socket()
    let second = try there.client()
    for fields in [#""op":"auto","stream":true"#, #""op":"auto","id":"b""#] {
      let sent = [
        Array(#"{"v":1,"image":{"blob":0,"encoding":"png"},\#(fields)}"#.utf8), try Pictures.png(),
      ]
      try first.send(sent)
      try second.send(sent)
      while true {
        let reply = try first.receive(timeout: 20_000)
        #expect(try reply == second.receive(timeout: 20_000))
        if try JSONValue(parsing: reply.frames[0])["final"] == .bool(true) { break }
      }
    }
    #expect(worker.leave())
    try here.stop()
    try there.stop()
  }

  /// With the embedded model.
  @Test func theEmbeddedModelsListIsTheSame() throws {
    let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let loader = ModelLoader(catalog: ModelCatalog(root: repository.appendingPathComponent("Models").path))
    let picture = [UInt8](try Data(contentsOf: repository.appendingPathComponent("Examples/kitchen.jpg")))
    let server = try Server(
      Configuration(endpoints: ["tcp://127.0.0.1:*"]), Pipeline(segmenter: try loader.segmentEngine(), labeler: nil))
    try server.start()
    let socket = try Socket(Context(), .dealer)
    try socket.connect(server.endpoints[0])
    func ask(_ more: String) throws -> [JSONValue] {
      let header =
        #"{"v":1,"op":"auto","points_per_side":12,"pred_iou_thresh":0.5,"stability_score_thresh":0.7,"image":{"blob":0,"encoding":"jpeg"}\#(more)}"#
      try socket.send([Array(header.utf8), picture])
      var replies: [JSONValue] = []
      repeat { replies.append(try Rig.header(socket)) } while replies.last?["final"] != .bool(true)
      return replies
    }
    let (streamed, plain) = (try ask(#","stream":true"#), try ask(""))
    #expect(plain.count == 1 && streamed.count > 2)
    let masks = try #require(plain[0]["masks"]?.array)
    #expect(masks.count > 3 && streamed.last?["masks"]?.array == masks)
    let told = streamed.dropLast().reduce(0) { $0 + ($1["masks"]?.array?.count ?? 0) }
    #expect(told >= masks.count / 2)
    server.drain()
    try server.wait()
  }
}
