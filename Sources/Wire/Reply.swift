import Masks

/// A reply: `[header JSON][blob 0]…[blob N]`, the direction from the daemon to a client (DESIGN §3).
public struct Reply: Sendable, Equatable {
  public var header: JSONValue
  public var blobs: [[UInt8]]

  public init(header: JSONValue, blobs: [[UInt8]] = []) { (self.header, self.blobs) = (header, blobs) }

  /// The answer to a request: what every reply begins with, then the fields of its operation.
  ///
  /// - Parameter isFinal: false for what a streaming client gets on the way; the last one of a request is final.
  public init(
    to request: Request, isFinal: Bool = true, _ fields: [(String, JSONValue?)], blobs: [[UInt8]] = []
  ) {
    let common: [(String, JSONValue?)] = [
      ("v", .integer(Request.version)), ("id", request.id.map { .string($0) }), ("op", .string(request.operation.name)),
      ("stamp", request.stamp), ("frame_id", request.frameID.map { .string($0) }),
      ("seq", request.stream ? .integer(0) : nil), ("final", .bool(isFinal)),
    ]
    self.init(header: JSONValue(entries: common + fields), blobs: blobs)
  }

  /// The refusal of a request that was read.
  public init(to request: Request, _ error: WireError) { self.init(to: request, [("error", error.json)]) }

  /// The refusal of a header that could not be read.
  public init(_ refused: RefusedRequest) {
    self.init(
      header: JSONValue(entries: [
        ("v", .integer(Request.version)), ("id", refused.id.map { .string($0) }),
        ("op", refused.op.map { .string($0) }), ("stamp", refused.stamp),
        ("frame_id", refused.frameID.map { .string($0) }), ("seq", refused.stream ? .integer(0) : nil),
        ("final", .bool(true)), ("error", refused.error.json),
      ]))
  }

  /// The same as the reply of this number to a streaming request; others have no number.
  public func numbered(_ seq: Int) -> Reply {
    guard case .object(let object) = header, object["seq"] != nil else { return self }
    let entries = object.entries.map { ($0.key, $0.key == "seq" ? .integer(seq) : $0.value) }
    return Reply(header: .object(JSONObject(entries)), blobs: blobs)
  }

  /// The frames of the message.
  public var frames: [[UInt8]] { [header.serialized()] + blobs }

  /// The error that the reply is, if it is one.
  public var error: WireError? {
    guard let error = header["error"] else { return nil }
    let code = error["code"]?.string.flatMap { WireError.Code(rawValue: $0) } ?? .internal
    return WireError(
      code, error["message"]?.string ?? "(no message)", retryAfterMilliseconds: error["retry_after_ms"]?.integer)
  }
}

/// One mask of a reply, with SAM's names for what SAM gives and ours for the rest (DESIGN §2).
public struct ReplyMask: Sendable, Equatable {
  public var id: Int
  /// The index of the prompt that it answers.
  public var prompt: Int?
  /// The mask itself in the encoding that was asked for.
  public var segmentation: JSONValue?
  /// Its value in the reply's `label_map`.
  public var value: Int?
  /// In pixels.
  public var area: Int
  /// x, y, width, height with SAM's width x1 − x0, in source pixels.
  public var bbox: [Int]
  public var predictedIoU: JSONValue?
  public var stabilityScore: JSONValue?
  public var pointCoords: JSONValue?
  public var cropBox: JSONValue?
  public var label: String?
  public var description: String?
  /// The words' mean token log-probability, as a probability: its exponential.
  public var score: Float?
  public var alternatives: [(label: String, score: Float)] = []
  /// The id of the smallest larger mask that holds nearly all of this one.
  public var parent: Int?
  /// What the words rest on: for instance at which levels the mask was too thin to be seen.
  public var evidence: JSONValue?
  /// The blob of its low-resolution logits, and their shape.
  public var logits: JSONValue?

  public init(id: Int, area: Int, bbox: [Int]) { (self.id, self.area, self.bbox) = (id, area, bbox) }

  public var json: JSONValue {
    let isLabelled = label != nil
    return JSONValue(entries: [
      ("id", .integer(id)), ("prompt", prompt.map { .integer($0) }), ("segmentation", segmentation),
      ("value", value.map { .integer($0) }), ("area", .integer(area)), ("bbox", .array(bbox.map { .integer($0) })),
      ("predicted_iou", predictedIoU), ("stability_score", stabilityScore), ("point_coords", pointCoords),
      ("crop_box", cropBox), ("label", label.map { .string($0) }), ("description", description.map { .string($0) }),
      ("score", score.map { JSONValue($0) }),
      ("alternatives", isLabelled ? .array(alternatives.map(Self.json)) : nil),
      ("parent", parent.map { .integer($0) } ?? .null), ("evidence", evidence), ("logits", logits),
    ])
  }

  private static func json(_ alternative: (label: String, score: Float)) -> JSONValue {
    JSONValue(entries: [("label", .string(alternative.label)), ("score", JSONValue(alternative.score))])
  }

  public static func == (a: ReplyMask, b: ReplyMask) -> Bool { a.json == b.json }
}
