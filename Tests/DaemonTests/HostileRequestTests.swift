import Imaging
import Testing
import Wire

@testable import Daemon

/// Every bad input gets an error that names the fault, and the daemon goes on serving.
@Suite struct HostileRequestTests {
  private struct Case {
    var frames: [[UInt8]]
    var code: String
    var message: String
  }

  private static let image = #""image":{"blob":0,"encoding":"jpeg"}"#

  private static func header(_ fields: String) -> [UInt8] { Array(#"{"v":1,"id":"q",\#(fields)}"#.utf8) }

  private static func segment(_ fields: String, _ image: String = Self.image) -> [UInt8] {
    header(#""op":"segment",\#(image),\#(fields)"#)
  }

  private static let point = #""prompts":[{"points":[[5,5]],"point_labels":[1]}]"#

  private func check(_ cases: [Case]) throws {
    let rig = try Rig()
    for hostile in cases {
      let reply = try rig.ask(hostile.frames)
      #expect(reply["error"]?["code"]?.string == hostile.code)
      #expect(reply["error"]?["message"]?.string == hostile.message)
      #expect(try rig.isServing())
    }
    try rig.stop()
  }

  @Test func picturesThatAreNone() throws {
    let jpeg = try Pictures.jpeg()
    let rig = try Rig()
    func ask(_ blob: [UInt8], _ image: String = Self.image) throws -> (code: String?, message: String) {
      let error = try rig.ask([Self.segment(Self.point, image), blob])["error"]
      #expect(try rig.isServing())
      return (error?["code"]?.string, error?["message"]?.string ?? "")
    }
    let truncated = try ask(Array(jpeg.prefix(jpeg.count / 2)))
    #expect(truncated.code == "bad_request" && truncated.message.hasPrefix("image: the JPEG is cut short: "))
    let huge = try ask(try Pictures.hugePNG())
    #expect(huge.code == "too_large" && huge.message.contains("100000"))
    #expect(try ask([]).message == "image: the picture is neither a PNG nor a JPEG")
    #expect(try ask([1, 2, 3]).message == "image: the picture is neither a PNG nor a JPEG")
    let raw = try ask([1, 2, 3], #""image":{"blob":0,"encoding":"bgr8","width":4,"height":4}"#)
    #expect(raw.code == "bad_request" && raw.message == "image: the raw pixels need 48 bytes, 3 are given")
    try rig.stop()
  }

  @Test func promptsThatMeanNothing() throws {
    let jpeg = try Pictures.jpeg()
    try check([
      Case(
        frames: [Self.segment(#""prompts":[{"points":[[5,5],[32,5]],"point_labels":[1,1]}]"#), jpeg],
        code: "bad_request", message: "prompts[0].points[1] is [32.0, 5.0], outside the picture of 32×24 pixels"),
      Case(
        frames: [Self.segment(#""prompts":[{"points":[[5,-1]],"point_labels":[1]}]"#), jpeg], code: "bad_request",
        message: "prompts[0].points[0] is [5.0, -1.0], outside the picture of 32×24 pixels"),
      Case(
        frames: [Self.segment(#""prompts":[{"box":[0,0,40,10]}]"#), jpeg], code: "bad_request",
        message: "prompts[0].box is [0.0, 0.0, 40.0, 10.0], which reaches outside the picture of 32×24 pixels"),
      Case(
        frames: [Self.segment(#""prompts":[{"points":[[5,5],[NaN,5]],"point_labels":[1,1]}]"#), jpeg],
        code: "bad_request", message: "prompts[0].points[1][0] is NaN; it is to be a finite number"),
      Case(
        frames: [Self.segment(#""multimask":true"#), jpeg], code: "bad_request",
        message: "prompts is missing: it is a list such as [{\"points\":[[x,y]],\"point_labels\":[1]}]"),
      Case(
        frames: [Self.segment(#""prompts":"5,5""#), jpeg], code: "bad_request",
        message: "prompts is a string; it is to be a list"),
      Case(
        frames: [Self.segment(#""prompts":[{"mask_input":{"blob":1}}]"#), jpeg, [0, 0, 0xC0, 0x7F]],
        code: "bad_request", message: "prompts[0].mask_input[0] is nan; it is to be a finite number"),
      Case(
        frames: [Self.segment(Self.point, #""image":{"blob":3,"encoding":"jpeg"}"#), jpeg], code: "bad_request",
        message: "image.blob is 3 but the message has 1 blob"),
    ])
  }

  @Test func masksThatAreNone() throws {
    let jpeg = try Pictures.jpeg()
    func label(_ mask: String) -> [[UInt8]] {
      [Self.header(#""op":"label",\#(Self.image),"masks":[\#(mask)]"#), jpeg]
    }
    try check([
      Case(
        frames: label(#"{"segmentation":{"size":[10,10],"counts":"T3"}}"#), code: "bad_request",
        message: "masks[0].segmentation.size is [10, 10], but the picture's [h, w] is [24, 32]"),
      Case(
        frames: label(#"{"segmentation":{"size":[24,32],"counts":[1,2]}}"#), code: "bad_request",
        message: "masks[0].segmentation.counts: the runs add up to 3 pixels, the mask has 768"),
    ])
  }

  @Test func messagesThatAreNone() throws {
    let deep = Array(repeating: UInt8(ascii: "["), count: 100_000)
    let start = "the header is not JSON such as {\"v\":1,\"op\":\"hello\"}: "
    let blobs = Array(repeating: [UInt8(1)], count: 70)
    try check([
      Case(
        frames: [Self.header(#""op":"hello""#)] + blobs, code: "too_large",
        message: "the message has 70 blobs; at most 64 are read"),
      Case(
        frames: [Self.header(#""op":"dance""#)], code: "bad_request",
        message:
          "op is 'dance'; it is one of hello, put_image, segment, auto, label, models, cancel, health, stats, drain"),
      Case(
        frames: [Array("not json".utf8)], code: "bad_request", message: start + "a value is expected at byte 0"),
      Case(frames: [deep], code: "bad_request", message: start + "it nests deeper than 32 levels at byte 32"),
      Case(frames: [[]], code: "bad_request", message: start + "it is empty"),
      Case(frames: [[], []], code: "bad_request", message: start + "it is empty"),
      Case(
        frames: [Array(repeating: 0x20, count: 2 << 20)], code: "too_large",
        message: "the header has 2097152 bytes; at most 1048576 are read"),
      Case(frames: [[0xFF, 0xD8, 0xFF]], code: "bad_request", message: start + "a value is expected at byte 0"),
      Case(
        frames: [Array(#"{"v":9,"op":"hello"}"#.utf8)], code: "bad_request",
        message: "v is 9; this daemon speaks version 1"),
      Case(
        frames: [Self.header(#""op":"hello","op":"auto""#)], code: "bad_request",
        message: start + "the key 'op' comes twice in one object, at byte 29"),
    ])
  }

  @Test func blobsThatAreTooLarge() throws {
    var limits = WireLimits()
    limits.blobBytes = 10_000
    let rig = try Rig(limits: limits)
    let large = [UInt8](repeating: 0, count: 6000)
    let reply = try rig.ask([Self.header(#""op":"put_image",\#(Self.image)"#), large, large])
    #expect(reply["error"]?["code"] == .string("too_large"))
    #expect(
      reply["error"]?["message"] == .string("the blobs have 12000 bytes together; at most 10000 are read"))
    #expect(try rig.isServing())
    try rig.stop()
  }
}
