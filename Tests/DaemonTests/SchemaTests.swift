import Foundation
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// `Docs/schemas` against what a daemon reads and sends.
@Suite struct SchemaTests {
  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  private let schemas: SchemaValidator

  init() throws { schemas = try SchemaValidator(folder: Self.repository.appendingPathComponent("Docs/schemas")) }

  /// Checks a reply by its `op`.
  private func check(_ reply: JSONValue, _ request: String = "") throws {
    let op = reply["op"]?.string ?? ""
    let name = reply["error"] == nil ? "\(op).reply.json" : "error.json"
    #expect(
      try schemas.faults(reply, name) == [],
      "\(request) → \(String(decoding: reply.serialized(), as: UTF8.self).prefix(2000))")
  }

  @Test func everyOperationHasItsSchemas() throws {
    let expected = Request.Operation.names.flatMap { ["\($0).request.json", "\($0).reply.json"] }
    #expect(schemas.names == (expected + ["common.json", "error.json"]).sorted())
    for name in schemas.names {
      #expect(schemas.document(name)?["$schema"] == .string("https://json-schema.org/draft/2020-12/schema"))
      #expect(schemas.document(name)?["$id"] == .string(name))
    }
    let codes = schemas.document("error.json")?["properties"]?["error"]?["properties"]?["code"]?["enum"]
    #expect(codes == .array(WireError.Code.allCases.map { .string($0.rawValue) }))
    let masks = schemas.document("common.json")?["$defs"]?["mask_encoding"]?["enum"]
    #expect(masks == .array(MaskEncoding.allCases.map { .string($0.rawValue) }))
  }

  /// The limits that the schemas tell are those that the reader has.
  @Test func theLimitsAreTheReaders() throws {
    let (limits, defs) = (WireLimits(), schemas.document("common.json")?["$defs"])
    let label = schemas.document("label.request.json")?["properties"]
    #expect(label?["prompts"]?["maxItems"] == .integer(limits.prompts))
    #expect(defs?["prompt"]?["properties"]?["points"]?["maxItems"] == .integer(limits.pointsPerPrompt))
    #expect(label?["masks"]?["anyOf"]?[0]?["maxItems"] == .integer(limits.masks))
    #expect(label?["vocabulary"]?["maxItems"] == .integer(limits.vocabulary))
    #expect(label?["history"]?["maxItems"] == .integer(limits.history))
    #expect(label?["max_tokens"]?["maximum"] == .integer(limits.maxTokens))
    #expect(label?["question"]?["maxLength"] == .integer(limits.textBytes))
    #expect(defs?["image"]?["anyOf"]?[2]?["properties"]?["width"]?["maximum"] == .integer(limits.imageSide))
  }

  private static let image = #""image":{"blob":0,"encoding":"png"}"#
  private static let click = #""prompts":[{"points":[[16,12]],"point_labels":[1]}]"#
  private static let mask =
    #"{"segmentation":{"size":[24,32],"counts":[100,668]},"predicted_iou":0.5,"crop_box":"mine"}"#

  /// Requests that are right, by endpoint.
  private static let good: [String] = [
    #""op":"hello""#, #""op":"models","id":"m","trace":"t","deadline_ms":5000,"priority":-3"#,
    #""op":"put_image",\#(image),"stamp":{"sec":1,"nanosec":2},"frame_id":"camera","stream":true"#,
    #""op":"put_image","image":{"blob":0,"encoding":"rgb8","width":2,"height":2,"step":6}"#,
    #""op":"segment",\#(image),\#(click),"logits":true,"multimask":null,"id":null"#,
    #""op":"segment",\#(image),"prompts":[{"box":[1,1,9,9]},{"points":[[1,2],[3,4.5]],"point_labels":[1,0.0]}],"masks":"png","stream":true"#,
    #""op":"segment",\#(image),\#(click),"masks":"polygon","unknown":[1]"#,
    #""op":"segment",\#(image),\#(click),"masks":"label_map""#,
    #""op":"segment",\#(image),\#(click),"masks":"coco_rle_raw""#,
    #""op":"segment",\#(image),"prompts":[{"mask_input":{"blob":0}}],"masks":"none""#,
    #""op":"auto",\#(image),"points_per_side":4,"pred_iou_thresh":0.5,"max_masks":2,"masks":"png""#,
    #""op":"auto",\#(image),"point_grids":[[[0.5,0.5]]]"#,
    #""op":"auto",\#(image),"stream":true"#, #""op":"auto",\#(image),"stream":true,"masks":"label_map""#,
    #""op":"label",\#(image),"auto":true,"stream":true,"masks":"polygon""#,
    #""op":"label",\#(image),\#(click),"style":"detailed","max_tokens":8,"stream":true"#,
    #""op":"label",\#(image),"masks":[\#(mask)],"mask_encoding":"none","vocabulary":["a","b"]"#,
    #""op":"label",\#(image),"auto":true,"points_per_side":4,"temperature":0.5,"top_p":0.9,"seed":3"#,
    #""op":"label",\#(image),\#(click),"question":"And <region1>?","history":[["a <region1>","b"]]"#,
    #""op":"label","image":{"handle":"sha256:\#(String(repeating: "0", count: 64))"},\#(click)"#,
  ]
  private static let control = [
    #""op":"health""#, #""op":"stats","id":"s""#, #""op":"cancel","request":"x""#, #""op":"drain""#,
  ]

  /// Requests that the reader refuses and the schemas too.
  private static let bad: [String] = [
    #""op":"segment",\#(image)"#, #""op":"segment",\#(click)"#, #""op":"segment",\#(image),"prompts":[]"#,
    #""op":"segment",\#(image),"prompts":[{}]"#, #""op":"segment",\#(image),"prompts":[{"points":[]}]"#,
    #""op":"segment",\#(image),"prompts":[{"points":[[1]]}]"#, #""op":"segment",\#(image),"prompts":[{"box":[1,2,3]}]"#,
    #""op":"segment",\#(image),"prompts":[{"points":[[1,2]],"point_labels":[2]}]"#,
    #""op":"segment",\#(image),"prompts":5"#,
    #""op":"segment",\#(image),\#(click),"masks":"jpeg""#, #""op":"segment",\#(image),\#(click),"multimask":1"#,
    #""op":"put_image","image":{"blob":0}"#, #""op":"put_image","image":{"blob":0,"encoding":"bmp"}"#,
    #""op":"put_image","image":{"blob":-1,"encoding":"png"}"#, #""op":"put_image","image":{"handle":"sha256:00"}"#,
    #""op":"put_image","image":{"blob":0,"encoding":"rgb8","width":2}"#,
    #""op":"put_image","image":{"blob":0,"encoding":"mono8","width":20000,"height":2}"#,
    #""op":"auto",\#(image),"points_per_side":0"#, #""op":"auto",\#(image),"crop_overlap_ratio":1"#,
    #""op":"auto",\#(image),"points_per_side":4,"point_grids":[[[0,0]]]"#,
    #""op":"auto",\#(image),"point_grids":[[[2,0]]]"#,
    #""op":"label",\#(image)"#, #""op":"label",\#(image),\#(click),"auto":true"#,
    #""op":"label",\#(image),"auto":false"#,
    #""op":"label",\#(image),"masks":[{"segmentation":{"size":[24],"counts":""}}]"#,
    #""op":"label",\#(image),"masks":[{"segmentation":{"size":[24,32],"counts":[-1]}}]"#,
    #""op":"label",\#(image),"masks":[{}]"#, #""op":"label",\#(image),"masks":"none""#,
    #""op":"label",\#(image),\#(click),"style":"long""#, #""op":"label",\#(image),\#(click),"max_tokens":0"#,
    #""op":"label",\#(image),\#(click),"question":"  ""#, #""op":"label",\#(image),\#(click),"history":[["a","b"]]"#,
    #""op":"label",\#(image),\#(click),"question":"a","history":[["a"]]"#,
    #""op":"label",\#(image),\#(click),"question":"a","vocabulary":["b"]"#,
    #""op":"label",\#(image),\#(click),"vocabulary":[]"#,
    #""op":"label",\#(image),\#(click),"top_p":0.5"#,
    #""op":"label",\#(image),\#(click),"temperature":1,"vocabulary":["b"]"#,
    #""op":"label",\#(image),\#(click),"temperature":101"#, #""op":"label",\#(image),\#(click),"seed":-1"#,
    #""op":"label",\#(image),"auto":true,"points_per_side":4,"point_grids":[[[0,0]]]"#,
    #""op":"cancel""#, #""op":"cancel","request":5"#, #""op":"hello","id":5"#, #""op":"hello","deadline_ms":-1"#,
    #""op":"hello","priority":1.5"#, #""op":"hello","stamp":[]"#, #""op":"hello","stamp":{"nanosec":-1}"#,
    #""op":"hello","stream":"yes""#, #""op":"hello","trace":\#("\"" + String(repeating: "x", count: 257) + "\"")"#,
  ]

  @Test func requestsAreReadAsTheSchemasSay() throws {
    for fields in Self.good + Self.control {
      let text = #"{"v":1,\#(fields)}"#
      let request = try JSONValue(parsing: Array(text.utf8))
      #expect(throws: Never.self, "\(text)") { try Request(header: Array(text.utf8), blobs: 1) }
      #expect(try schemas.faults(request, "\(request["op"]?.string ?? "").request.json") == [], "\(text)")
    }
    for fields in Self.bad {
      let text = #"{"v":1,\#(fields)}"#
      let request = try JSONValue(parsing: Array(text.utf8))
      #expect(throws: RefusedRequest.self, "\(text)") { try Request(header: Array(text.utf8), blobs: 1) }
      #expect(try schemas.faults(request, "\(request["op"]?.string ?? "").request.json") != [], "\(text)")
    }
    #expect(try schemas.faults(JSONValue(parsing: Array(#"{"v":2,"op":"hello"}"#.utf8)), "hello.request.json") != [])
    #expect(try schemas.faults(JSONValue(parsing: Array(#"{"op":"hello"}"#.utf8)), "hello.request.json") != [])
  }

  /// What our own clients send.
  @Test func requestsAreWrittenAsTheSchemasSay() throws {
    for fields in Self.good + Self.control {
      let request = try Request(header: Array(#"{"v":1,\#(fields)}"#.utf8), blobs: 1)
      #expect(try schemas.faults(request.header, "\(request.operation.name).request.json") == [], "\(fields)")
    }
  }

  @Test func repliesAreWhatTheSchemasSay() throws {
    let rig = try Rig()
    let png = try Pictures.png()
    var seen: Set<String> = []
    func exchange(_ fields: String, _ blobs: [[UInt8]], to endpoint: String) throws {
      let socket = try rig.socket(to: endpoint)
      try socket.send([Array(#"{"v":1,\#(fields)}"#.utf8)] + blobs)
      var reply: JSONValue
      repeat {
        reply = try Rig.header(socket)
        try check(reply, fields)
        seen.insert(reply["error"] == nil ? reply["op"]?.string ?? "" : "error")
      } while reply["final"] != .bool(true)
    }
    for fields in Self.good {
      try exchange(fields, [fields.contains("rgb8") ? [UInt8](repeating: 7, count: 12) : png], to: rig.endpoint)
    }
    for fields in Self.bad { try exchange(fields, [png], to: rig.endpoint) }
    for broken in ["", "{", "[]", #"{"v":1,"op":7}"#, #"{"v":1,"op":"dance","id":"d"}"#] {
      try check(rig.ask([Array(broken.utf8)]), broken)
    }
    for fields in Self.control { try exchange(fields, [], to: rig.control) }
    #expect(seen == Set(Request.Operation.names).union(["error"]))
    try rig.server.wait()
  }

  /// The embedded model's evidence in all its forms.
  @Test func theEmbeddedModelsWordsAreWhatTheSchemasSay() throws {
    let loader = ModelLoader(catalog: ModelCatalog(root: Self.repository.appendingPathComponent("Models").path))
    let pipeline = Pipeline(segmenter: try loader.segmentEngine(), labeler: try loader.labelEngine())
    let picture = [UInt8](try Data(contentsOf: Self.repository.appendingPathComponent("Examples/desk.jpg")))
    let image = #""image":{"blob":0,"encoding":"jpeg"}"#
    let click = #""prompts":[{"points":[[200,150]]},{"box":[100,100,102,101]}]"#
    for fields in [
      #""op":"hello""#, #""op":"segment",\#(image),\#(click),"logits":true"#,
      #""op":"auto",\#(image),"points_per_side":3,"pred_iou_thresh":0.1"#,
      #""op":"label",\#(image),\#(click),"style":"detailed","max_tokens":6"#,
      #""op":"label",\#(image),\#(click),"vocabulary":["a cup","a keyboard"]"#,
      #""op":"label",\#(image),\#(click),"temperature":1,"top_p":0.9,"seed":1,"max_tokens":4"#,
      #""op":"label",\#(image),\#(click),"question":"What are <region1> and <region2>?","max_tokens":4"#,
      #""op":"label",\#(image),\#(click),"question":"What is it?","history":[["Is <mask> red?","no"]],"max_tokens":4"#,
    ] {
      let request = try Request(header: Array(#"{"v":1,\#(fields)}"#.utf8), blobs: 1)
      let reply = pipeline.perform(request, blobs: [picture])
      #expect(reply.error == nil, "\(fields)")
      try check(reply.header, fields)
    }
  }

  /// A schema that lets everything pass would pass the tests above too.
  @Test func repliesThatAreWrongAreFound() throws {
    let rig = try Rig()
    let reply = try rig.ask(#"{"v":1,"op":"segment",\#(Self.image),\#(Self.click)}"#, [Pictures.png()])
    #expect(try schemas.faults(reply, "segment.reply.json") == [])
    #expect(
      try schemas.faults(reply.appending([("more", .integer(1))]), "segment.reply.json") == [
        "the message has the unknown key more"
      ])
    #expect(try schemas.faults(reply, "auto.reply.json") != [])
    guard case .object(let object) = reply else { return }
    for key in ["v", "op", "final", "masks", "image"] {
      let less = JSONValue.object(JSONObject(object.entries.filter { $0.key != key }.map { ($0.key, $0.value) }))
      #expect(try schemas.faults(less, "segment.reply.json") == ["the message has no \(key)"])
      let other = JSONValue.object(JSONObject(object.entries.map { ($0.key, $0.key == key ? .string("x") : $0.value) }))
      #expect(try schemas.faults(other, "segment.reply.json") != [])
    }
    try rig.stop()
  }

  @Test func theCountersOfWorkersFitToo() throws {
    let rig = try WorkerRig()
    let worker = try rig.worker("a")
    let socket = try Socket(rig.context, .dealer)
    try socket.connect(rig.server.controlEndpoints[0])
    try socket.send([Array(#"{"v":1,"op":"stats"}"#.utf8)])
    let reply = try Rig.header(socket)
    #expect(reply["workers"]?["segment"] == .integer(1) && reply["workers"]?["language"] == nil)
    try check(reply)
    #expect(worker.leave())
    try rig.stop()
  }
}
