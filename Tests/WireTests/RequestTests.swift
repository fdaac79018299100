import Masks
import Testing

@testable import Wire

@Suite struct RequestTests {
  private func read(_ text: String, blobs: Int = 1) throws(RefusedRequest) -> Request {
    try Request(header: Array(text.utf8), blobs: blobs)
  }

  /// A request with the fields; image and prompts are good unless given.
  private func message(_ text: String, blobs: Int = 1) -> String {
    do {
      _ = try read(text, blobs: blobs)
      return "(accepted)"
    } catch {
      return "\(error.error)"
    }
  }

  /// What a robot knows its frame by comes back with a refusal too, as far as it is right itself.
  @Test func aRefusalTellsWhatItRefuses() throws {
    func refusal(_ fields: String) throws -> JSONValue {
      do {
        _ = try read(#"{"v":1,"op":"hello","id":"a",\#(fields)}"#)
        Issue.record("\(fields) is accepted")
        return .null
      } catch { return Reply(error).header }
    }
    let stamp = #""stamp":{"sec":1,"nanosec":2}"#
    let whole = try refusal(#"\#(stamp),"frame_id":"cam","stream":true,"priority":"high""#)
    #expect(whole["stamp"]?["nanosec"] == .integer(2) && whole["frame_id"] == .string("cam"))
    #expect(whole["id"] == .string("a") && whole["seq"] == .integer(0) && whole["final"] == .bool(true))
    let part = try refusal(#"\#(stamp),"frame_id":5,"stream":1"#)
    #expect(part["stamp"] != nil && part["frame_id"] == nil && part["seq"] == nil)
    let infinite = try refusal(#""stamp":{"sec":1,"more":[NaN]},"frame_id":"cam""#)
    #expect(infinite["stamp"] == nil && infinite["frame_id"] == .string("cam"))
  }

  @Test func aVersionMayHaveAPoint() {
    #expect(message(#"{"v":1.0,"op":"hello"}"#) == "(accepted)")
    #expect(message(#"{"v":1.5,"op":"hello"}"#).contains("speaks version 1"))
    // Two spellings of é are two keys.
    #expect(message("{\"v\":1,\"op\":\"hello\",\"\u{E9}\":1,\"e\u{301}\":2}") == "(accepted)")
    #expect(message("{\"v\":1,\"op\":\"hello\",\"\u{E9}\":1,\"\\u00e9\":2}").contains("comes twice"))
  }

  @Test func theSmallestClientsRequest() throws {
    let request = try read(
      #"""
      {"v":1,"op":"label","id":"1","image":{"blob":0,"encoding":"jpeg"},
       "prompts":[{"points":[[3,4.5]],"point_labels":[1]}], "unknown":{"x":1}}
      """#)
    #expect(request.id == "1")
    let prompt = WirePrompt(points: [Point(x: 3, y: 4.5)], pointLabels: [1])
    let expected = LabelRequest(
      image: .blob(index: 0, encoding: .jpeg, raw: nil), regions: .prompts([prompt], multimask: false))
    #expect(request.operation == .label(expected))
  }

  @Test(arguments: [
    #"{"v":1,"op":"hello"}"#, #"{"v":1,"op":"models","id":"a","priority":3,"trace":"t","stream":true}"#,
    #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"rgb8","width":4,"height":2,"step":12},"frame_id":"camera","stamp":{"sec":1,"nanosec":2}}"#,
    #"{"v":1,"op":"segment","deadline_ms":100,"image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[1,2],[3,4]],"point_labels":[1,0],"box":[0,0,5,6]},{"mask_input":{"blob":0}}],"multimask":false,"logits":true,"masks":"polygon"}"#,
    #"{"v":1,"op":"auto","image":{"handle":"sha256:0123456789012345678901234567890123456789012345678901234567890abc"},"points_per_side":16,"pred_iou_thresh":0.5,"max_masks":3,"masks":"label_map"}"#,
    #"{"v":1,"op":"auto","image":{"blob":0,"encoding":"png"},"point_grids":[[[0.5,0.25]]],"masks":"none"}"#,
    #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"auto":true,"points_per_side":8,"style":"category","vocabulary":["mug","bowl"],"max_tokens":9}"#,
    #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"masks":[{"segmentation":{"size":[2,3],"counts":"06"},"predicted_iou":0.9},{"segmentation":{"size":[2,3],"counts":[1,5]}}],"mask_encoding":"png","question":"What is <mask>?"}"#,
    #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"auto":true,"question":"And <region2>?","history":[["Where is <region1>?","on the table"],["Why?","no"]],"temperature":0.5,"top_p":0.9,"seed":7}"#,
    #"{"v":1,"op":"cancel","request":"7"}"#, #"{"v":1,"op":"drain"}"#,
  ])
  func whatIsWrittenReadsBackTheSame(text: String) throws {
    let request = try read(text)
    let again = try Request(header: request.header.serialized(), blobs: 1)
    #expect(again == request)
    #expect(again.header.serialized() == request.header.serialized())
  }

  @Test(arguments: [
    (#""#, "bad_request: the header is not JSON such as {\"v\":1,\"op\":\"hello\"}: it is empty"),
    (
      #"hello"#, "bad_request: the header is not JSON such as {\"v\":1,\"op\":\"hello\"}: a value is expected at byte 0"
    ),
    (#"[1]"#, "bad_request: the header is a list; it is to be an object"),
    (#"{"op":"hello"}"#, "bad_request: v is missing: it is the protocol's version, 1"),
    (#"{"v":2,"op":"hello"}"#, "bad_request: v is 2; this daemon speaks version 1"),
    (#"{"v":"1","op":"hello"}"#, "bad_request: v is a string; this daemon speaks version 1"),
    (#"{"v":true,"op":"hello"}"#, "bad_request: v is a boolean; this daemon speaks version 1"),
    (#"{"v":1}"#, "bad_request: op is missing: it is the operation, such as \"label\""),
    (#"{"v":1,"op":7}"#, "bad_request: op is a number; it is to be a string"),
    (
      #"{"v":1,"op":"dance"}"#,
      "bad_request: op is 'dance'; it is one of hello, put_image, segment, auto, label, models, cancel, health, stats, drain"
    ),
    (#"{"v":1,"op":"hello","id":7}"#, "bad_request: id is a number; it is to be a string"),
    (#"{"v":1,"op":"hello","deadline_ms":-1}"#, "bad_request: deadline_ms is -1; it lies in 0…86400000"),
    (#"{"v":1,"op":"hello","stamp":{"sec":"x"}}"#, "bad_request: stamp.sec is a string; it is to be an integer"),
    (
      #"{"v":1,"op":"put_image"}"#,
      "bad_request: image is missing: it is {\"blob\":0,\"encoding\":\"jpeg\"} or {\"handle\":\"sha256:…\"}"
    ),
    (#"{"v":1,"op":"put_image","image":"x.png"}"#, "bad_request: image is a string; it is to be an object"),
    (
      #"{"v":1,"op":"put_image","image":{"blob":3,"encoding":"png"}}"#,
      "bad_request: image.blob is 3 but the message has 1 blob"
    ),
    (
      #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"gif"}}"#,
      "bad_request: image.encoding is 'gif'; it is one of jpeg, png, rgb8, bgr8, rgba8, bgra8, mono8"
    ),
    (
      #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"rgb8"}}"#,
      "bad_request: image.width is missing: encoding 'rgb8' needs the size in pixels"
    ),
    (
      #"{"v":1,"op":"put_image","image":{"blob":0,"encoding":"rgb8","width":4,"height":4,"step":11}}"#,
      "bad_request: image.step is 11; it is at least 12"
    ),
    (
      #"{"v":1,"op":"put_image","image":{"handle":"sha256:zz"}}"#,
      "bad_request: image.handle is 'sha256:zz'; it is 'sha256:' and 64 lower-case hexadecimal digits"
    ),
  ])
  func errorsNameTheFault(text: String, expected: String) { #expect(message(text) == expected) }

  @Test(arguments: [
    ("", "prompts is missing: it is a list such as [{\"points\":[[x,y]],\"point_labels\":[1]}]"),
    (#","prompts":[]"#, "prompts is empty; it has an entry for each object asked for"),
    (#","prompts":{}"#, "prompts is an object; it is to be a list"),
    (#","prompts":[{}]"#, "prompts[0] is empty; it has points, a box or a mask_input"),
    (#","prompts":[{"points":[[1,2],[3,NaN]]}]"#, "prompts[0].points[1][1] is NaN; it is to be a finite number"),
    (
      #","prompts":[{"points":[[1,-1e999]]}]"#, "prompts[0].points[0][1] is minus infinite; it is to be a finite number"
    ),
    (#","prompts":[{"points":[[1,1e300]]}]"#, "prompts[0].points[0][1] is too large for a float32"),
    (#","prompts":[{"points":[[1]]}]"#, "prompts[0].points[0] has 1 numbers; it is [x, y]"),
    (#","prompts":[{"points":[1,2]}]"#, "prompts[0].points[0] is a number; it is to be [x, y]"),
    (#","prompts":[{"points":[[true,2]]}]"#, "prompts[0].points[0][0] is a boolean; it is to be a number"),
    (
      #","prompts":[{"points":[[1,2]],"point_labels":[2]}]"#,
      "prompts[0].point_labels[0] is 2.0; it is 1 for a point in the object and 0 for one outside"
    ),
    (
      #","prompts":[{"points":[[1,2]],"point_labels":[1,0]}]"#,
      "prompts[0].point_labels has 2 entries; it has one for each of the 1 points"
    ),
    (
      #","prompts":[{"box":[5,0,1,1]}]"#,
      "prompts[0].box is [5.0, 0.0, 1.0, 1.0]; it is [x0, y0, x1, y1] with x0 ≤ x1 and y0 ≤ y1"
    ),
    (#","prompts":[{"mask_input":{"blob":9}}]"#, "prompts[0].mask_input.blob is 9 but the message has 1 blob"),
    (#","prompts":[{"box":[0,0,1,1]}],"multimask":1"#, "multimask is a number; it is to be true or false"),
    (
      #","prompts":[{"box":[0,0,1,1]}],"masks":"rle""#,
      "masks is 'rle'; it is one of coco_rle, coco_rle_raw, png, polygon, label_map, none"
    ),
  ])
  func errorsNameTheFaultInPrompts(fields: String, expected: String) {
    let text = #"{"v":1,"op":"segment","image":{"blob":0,"encoding":"png"}\#(fields)}"#
    #expect(message(text) == "bad_request: " + expected)
  }

  @Test(arguments: [
    ("", "prompts, masks and auto are missing: give prompts, or a list of masks, or \"auto\":true"),
    (
      #","auto":true,"prompts":[{"box":[0,0,1,1]}]"#,
      "prompts, masks and auto come together: give prompts, or a list of masks, or \"auto\":true"
    ),
    (#","masks":[{"id":1}]"#, "masks[0].segmentation is missing: it is {\"size\":[h,w],\"counts\":\"…\"}, COCO RLE"),
    (
      #","masks":[{"segmentation":{"size":[2],"counts":"0"}}]"#, "masks[0].segmentation.size has 1 numbers; it is [h,w]"
    ),
    (
      #","masks":[{"segmentation":{"size":[2,70000],"counts":"0"}}]"#,
      "masks[0].segmentation.size[1] is 70000; it lies in 1…65536"
    ),
    (#","auto":true,"points_per_side":0"#, "points_per_side is 0; it lies in 1…128"),
    (#","auto":true,"pred_iou_thresh":"high""#, "pred_iou_thresh is a string; it is to be a number"),
    (#","auto":true,"vocabulary":["a",1]"#, "vocabulary[1] is a number; it is to be a string"),
    (
      #","auto":true,"question":"a?","vocabulary":["a"]"#,
      "question and vocabulary come together; give one of them"
    ),
    (#","auto":true,"max_tokens":100000"#, "max_tokens is 100000; it lies in 1…1024"),
  ])
  func errorsNameTheFaultInLabel(fields: String, expected: String) {
    let text = #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"}\#(fields)}"#
    #expect(message(text) == "bad_request: " + expected)
  }

  @Test func aRefusalKeepsWhatTellsItApart() {
    do {
      _ = try read(
        #"{"v":1,"op":"segment","id":"x","image":{"blob":0,"encoding":"png"},"prompts":[{"points":[[NaN,1]]}]}"#)
      Issue.record("NaN was accepted")
    } catch {
      #expect(error.id == "x" && error.op == "segment")
      let text = String(decoding: Reply(error).header.serialized(), as: UTF8.self)
      #expect(
        text
          == #"{"v":1,"id":"x","op":"segment","final":true,"error":{"code":"bad_request","message":"prompts[0].points[0][0] is NaN; it is to be a finite number","retryable":false}}"#
      )
    }
  }

  @Test func anIdOfTheWrongTypeAndAHeaderTooLarge() {
    let large = [UInt8](repeating: 0x20, count: (1 << 20) + 1)
    #expect(throws: RefusedRequest.self) { try Request(header: large, blobs: 0) }
    let tooMany =
      #"{"v":1,"op":"segment","image":{"blob":0,"encoding":"png"},"prompts":[\#(String(repeating: "{},", count: 300)){}]}"#
    #expect(message(tooMany) == "too_large: prompts has 301 entries; at most 256 are read")
  }

  @Test(arguments: [
    (#""temperature":-1"#, "temperature is -1.0; it lies in 0.0…100.0"),
    (#""temperature":101"#, "temperature is 101.0; it lies in 0.0…100.0"),
    (#""temperature":"hot""#, "temperature is a string; it is to be a number"),
    (#""temperature":NaN"#, "temperature is NaN; it is to be a finite number"),
    (#""temperature":1,"top_p":1.5"#, "top_p is 1.5; it lies in 0.0…1.0"),
    (
      #""top_p":0.5"#,
      "top_p is given without temperature; without one the likeliest words are taken and nothing is drawn"
    ),
    (#""temperature":1,"seed":-1"#, "seed is -1; it is at least 0"),
    (#""temperature":1,"seed":1.5"#, "seed is a number; it is to be an integer"),
    (
      #""temperature":1,"vocabulary":["a"]"#,
      "temperature and vocabulary come together; from a vocabulary nothing is drawn, give one of them"
    ),
    (
      #""history":[["a","b"]]"#,
      "history is given without question; it is what was asked and answered before the question"
    ),
    (#""question":"a","history":{"a":"b"}"#, "history is an object; it is to be a list"),
    (#""question":"a","history":["a","b"]"#, "history[0] is a string; it is to be [question, answer]"),
    (#""question":"a","history":[["a"]]"#, "history[0] has 1 entries; it is [question, answer]"),
    (#""question":"a","history":[["a","b"],["a",3]]"#, "history[1][1] is a number; it is to be a string"),
    (#""question":"a","history":[[" ","b"]]"#, "history[0][0] is empty; it is a question"),
    (#""question":"a","history":[["a",""]]"#, "history[0][1] is empty; it is what was answered"),
  ])
  func whatIsWrongWithAQuestionIsNamed(fields: String, expected: String) {
    let text = #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"auto":true,\#(fields)}"#
    #expect(message(text) == "bad_request: \(expected)")
  }

  @Test func aHistoryIsBounded() {
    let turns = Array(repeating: #"["a","b"]"#, count: 17).joined(separator: ",")
    let text =
      #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"auto":true,"question":"a","history":[\#(turns)]}"#
    #expect(message(text) == "too_large: history has 17 entries; at most 16 are read")
  }
}
