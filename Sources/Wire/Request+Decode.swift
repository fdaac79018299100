import Masks

/// A header that could not be read, with what of it is known, so that the reply can still be told apart.
public struct RefusedRequest: Error, Sendable {
  public var error: WireError
  public var id: String?
  public var op: String?
  public var stamp: JSONValue?
  public var frameID: String?
  /// Whether its replies have numbers.
  public var stream = false

  public init(_ error: WireError) { self.error = error }

  /// - Parameter document: of which those of these fields are kept that are right themselves.
  init(_ error: WireError, in document: JSONValue, limits: WireLimits) {
    self.error = error
    (id, op) = (document["id"]?.string, document["op"]?.string)
    guard let fields = try? Fields(document, path: "") else { return }
    stamp = (try? Request.stamp(fields)).flatMap { $0.firstNotFinite() == nil ? $0 : nil }
    frameID = try? fields.text("frame_id", limit: limits.textBytes)
    stream = (try? fields.flag("stream")) ?? false
  }
}

extension Request {
  /// Reads a header.
  ///
  /// - Parameter blobs: how many blobs came with it; every index in the header is checked against it.
  public init(header: [UInt8], blobs: Int, limits: WireLimits = WireLimits()) throws(RefusedRequest) {
    let document: JSONValue
    do {
      document = try JSONValue(
        parsing: header, limits: JSONLimits(bytes: limits.headerBytes, depth: limits.headerDepth))
    } catch .tooLarge(let bytes, let limit) {
      throw RefusedRequest(WireError(.tooLarge, "the header has \(bytes) bytes; at most \(limit) are read"))
    } catch {
      let reason = header.isEmpty ? "it is empty" : "\(error)"
      throw RefusedRequest(.bad("the header is not JSON such as {\"v\":1,\"op\":\"hello\"}: \(reason)"))
    }
    do {
      try self.init(document, RequestReader(blobs: blobs, limits: limits))
    } catch {
      throw RefusedRequest(error, in: document, limits: limits)
    }
  }

  private init(_ document: JSONValue, _ reader: RequestReader) throws(WireError) {
    let limits = reader.limits
    let fields = try Fields(document, path: "")
    let version = try fields.required("v", "the protocol's version, \(Request.version)")
    // Some clients write every number with a point.
    guard version == .integer(Request.version) || version == .number(Double(Request.version)) else {
      let given = version.integer.map(String.init) ?? version.kind
      throw .bad("v is \(given); this daemon speaks version \(Request.version)")
    }
    let op = try Fields.text(fields.required("op", "the operation, such as \"label\""), "op", limit: 64)
    if let found = document.firstNotFinite() { throw Fields.notFinite(found.path, found.value) }
    id = try fields.text("id", limit: 256)
    deadlineMilliseconds = try fields.integer("deadline_ms", in: 0...86_400_000)
    priority = try fields.integer("priority", in: -1000...1000) ?? 0
    stamp = try Self.stamp(fields)
    frameID = try fields.text("frame_id", limit: limits.textBytes)
    stream = try fields.flag("stream") ?? false
    trace = try fields.text("trace", limit: 256)
    operation = try reader.operation(op, fields)
  }

  /// When the picture was taken; copied into the reply as it is.
  static func stamp(_ fields: Fields) throws(WireError) -> JSONValue? {
    guard let stamp = fields["stamp"] else { return nil }
    let parts = try Fields(stamp, path: "stamp")
    _ = try parts.integer("sec", in: .min ... .max)
    _ = try parts.integer("nanosec", in: 0...999_999_999)
    return stamp
  }
}

/// Reads the fields of each `op`.
struct RequestReader {
  let blobs: Int
  let limits: WireLimits

  func operation(_ op: String, _ fields: Fields) throws(WireError) -> Request.Operation {
    switch op {
    case "hello": return .hello
    case "models": return .models
    case "put_image": return .putImage(try image(fields))
    case "segment":
      var request = SegmentRequest(image: try image(fields), prompts: try requiredPrompts(fields))
      request.multimask = try fields.flag("multimask") ?? true
      request.masks = try fields.choice("masks") ?? .cocoRLE
      request.logits = try fields.flag("logits") ?? false
      return .segment(request)
    case "auto":
      var request = AutoRequest(image: try image(fields))
      request.parameters = try automaticParameters(fields)
      request.masks = try fields.choice("masks") ?? .cocoRLE
      return .auto(request)
    case "label": return .label(try label(fields))
    case "cancel":
      let target = try fields.required("request", "the id of the request to cancel")
      return .cancel(request: try Fields.text(target, "request", limit: 256))
    case "health": return .health
    case "stats": return .stats
    case "drain": return .drain
    default: throw .bad("op is '\(op)'; it is one of \(Request.Operation.names.joined(separator: ", "))")
    }
  }

  func image(_ fields: Fields) throws(WireError) -> ImageReference {
    let example = "{\"blob\":0,\"encoding\":\"jpeg\"} or {\"handle\":\"sha256:…\"}"
    let image = try Fields(fields.required("image", example), path: "image")
    if let handle = try image.text("handle", limit: 128) {
      let digits = handle.utf8.dropFirst(7)
      let isHex = digits.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
      guard handle.hasPrefix("sha256:"), digits.count == 64, isHex else {
        throw .bad("image.handle is '\(handle.prefix(80))'; it is 'sha256:' and 64 lower-case hexadecimal digits")
      }
      return .handle(handle)
    }
    guard image["blob"] != nil else { throw .bad("image.blob is missing: image is \(example)") }
    let index = try blob(image, "blob")
    let encodings = ImageEncoding.allCases.map(\.rawValue).joined(separator: ", ")
    guard let encoding: ImageEncoding = try image.choice("encoding") else {
      throw .bad("image.encoding is missing: it is one of \(encodings)")
    }
    guard let channels = encoding.channels else { return .blob(index: index, encoding: encoding, raw: nil) }
    let width = try rawSide(image, "width", encoding)
    let height = try rawSide(image, "height", encoding)
    let step = try image.integer("step", in: width * channels ... .max) ?? width * channels
    return .blob(
      index: index, encoding: encoding, raw: ImageReference.RawLayout(width: width, height: height, step: step))
  }

  private func rawSide(_ image: Fields, _ key: String, _ encoding: ImageEncoding) throws(WireError) -> Int {
    guard let side = try image.integer(key, in: 1 ... .max) else {
      throw .bad("image.\(key) is missing: encoding '\(encoding.rawValue)' needs the size in pixels")
    }
    guard side <= limits.imageSide else {
      throw WireError(.tooLarge, "image.\(key) is \(side); at most \(limits.imageSide) pixels are read")
    }
    return side
  }

  /// The index of a blob that is there.
  func blob(_ fields: Fields, _ key: String) throws(WireError) -> Int {
    let value = try fields.required(key, "the index of a blob")
    let index = try Fields.integer(value, fields.name(key), in: 0 ... .max)
    guard index < blobs else {
      throw .bad("\(fields.name(key)) is \(index) but the message has \(blobs) \(blobs == 1 ? "blob" : "blobs")")
    }
    return index
  }
}
