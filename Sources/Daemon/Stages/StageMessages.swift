import Wire

/// The protocol between the daemon and the workers of its stages (Docs/stages.md). A message is `[head][body][blob 0]…`:
/// the head is a small JSON object that says what it is, the body JSON that only the two ends of a job read.
enum StageProtocol {
  static let version = 1
  /// What of a message is kept: blobs as large as a picture or the tokens of all its regions.
  static let blobs = 1 << 10
  static let bytes = 1 << 29
  private static let headLimits = JSONLimits(bytes: 1 << 16, depth: 8)
  private static let bodyLimits = JSONLimits(bytes: 1 << 27, depth: 40)

  /// The bounds of the requests that are jobs: what the daemon accepted fits, and what segmenters find in it.
  static var jobLimits: WireLimits {
    var limits = WireLimits()
    (limits.headerBytes, limits.blobs, limits.masks) = (bodyLimits.bytes, blobs, 1 << 16)
    return limits
  }

  static func head(_ frames: [[UInt8]]) -> (type: String, fields: JSONValue)? {
    guard let first = frames.first, let head = try? JSONValue(parsing: first, limits: headLimits),
      let type = head["type"]?.string
    else { return nil }
    return (type, head)
  }

  /// - Throws: `internal`, naming who sent it.
  static func body(_ bytes: [UInt8], from sender: String) throws(WireError) -> JSONValue {
    do throws(JSONError) {
      return try JSONValue(parsing: bytes, limits: bodyLimits)
    } catch {
      throw WireError(.internal, "\(sender) sent no JSON: \(error)")
    }
  }

  static func frame(_ type: String, _ fields: [(String, JSONValue?)] = []) -> [UInt8] {
    JSONValue(entries: [("type", .string(type))] + fields).serialized()
  }

  static func ticket(_ fields: JSONValue) -> UInt64? { fields["ticket"]?.integer.flatMap { UInt64(exactly: $0) } }
}

/// What a worker says of itself before it gets work.
struct WorkerReady: Sendable {
  var stage: Pipeline.Stage
  /// Its own among all workers, also after it has connected anew.
  var name: String
  var model: ModelDescription
  /// How many jobs of each lane it works on at a time.
  var credit: [Lane: Int]

  fileprivate var fields: [(String, JSONValue?)] {
    [
      ("v", .integer(StageProtocol.version)), ("stage", .string(stage.rawValue)), ("name", .string(name)),
      ("model", model.json),
      (
        "credit",
        JSONValue(entries: Lane.allCases.compactMap { lane in credit[lane].map { (lane.rawValue, .integer($0)) } })
      ),
    ]
  }

  /// The most jobs of a lane that a worker may take at a time.
  static let mostCredit = 64

  /// - Throws: what is wrong with it, for the worker's people.
  fileprivate init(_ fields: JSONValue) throws(WireError) {
    func wrong(_ what: String) -> WireError { WireError(.badRequest, "ready: \(what)") }
    guard fields["v"]?.integer == StageProtocol.version else {
      throw wrong("v is to be \(StageProtocol.version), the version of the stages' protocol that this daemon speaks")
    }
    guard let stage = fields["stage"]?.string.flatMap({ Pipeline.Stage(rawValue: $0) }) else {
      throw wrong("stage is to be one of \(Pipeline.Stage.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard let name = fields["name"]?.string, (1...128).contains(name.utf8.count),
      name.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { throw wrong("name is to be 1 to 128 visible ASCII characters") }
    guard let model = fields["model"].flatMap({ ModelDescription($0) }) else {
      throw wrong("model is to have name, role and architecture, of 256 bytes at most, and 64 files at most")
    }
    var credit: [Lane: Int] = [:]
    for lane in Lane.allCases where lane.stage == stage {
      guard let given = fields["credit"]?[lane.rawValue] else { continue }
      guard let count = given.integer, (1...Self.mostCredit).contains(count) else {
        throw wrong("credit.\(lane.rawValue) is to be 1 to \(Self.mostCredit)")
      }
      credit[lane] = count
    }
    guard !credit.isEmpty else { throw wrong("credit names no lane of stage '\(stage.rawValue)'") }
    self.init(stage: stage, name: name, model: model, credit: credit)
  }

  init(stage: Pipeline.Stage, name: String, model: ModelDescription, credit: [Lane: Int]) {
    (self.stage, self.name, self.model, self.credit) = (stage, name, model, credit)
  }
}

/// What a worker made of a job.
public struct StageResult: Sendable {
  var body: [UInt8] = Array("{}".utf8)
  var blobs: [[UInt8]] = []
}

enum MessageFromWorker: Sendable {
  case ready(WorkerReady)
  /// It wants to be a worker and cannot, and why.
  case unusable(String)
  /// The I/O thread lives, and so much has been computed.
  case heartbeat(progress: Int)
  /// On the way to the result.
  case partial(ticket: UInt64, body: [UInt8])
  case result(ticket: UInt64, StageResult)
  case failed(ticket: UInt64, WireError)
  /// It does not hold (any more) what the job's handle names: send the job again with it.
  case missing(ticket: UInt64)
  /// It takes no more jobs, and goes when those that it has are done and it is told so.
  case bye

  /// - Returns: nil for what is no message of a worker.
  init?(_ frames: [[UInt8]]) {
    guard let (type, fields) = StageProtocol.head(frames) else { return nil }
    let ticket = StageProtocol.ticket(fields)
    switch (type, ticket) {
    case ("ready", _):
      do throws(WireError) { self = .ready(try WorkerReady(fields)) } catch { self = .unusable(error.message) }
    case ("heartbeat", _):
      guard let progress = fields["progress"]?.integer else { return nil }
      self = .heartbeat(progress: progress)
    case ("partial", let ticket?) where frames.count == 2: self = .partial(ticket: ticket, body: frames[1])
    case ("result", let ticket?) where frames.count >= 2:
      self = .result(ticket: ticket, StageResult(body: frames[1], blobs: Array(frames.dropFirst(2))))
    case ("failed", let ticket?):
      guard let error = fields["error"], let code = error["code"]?.string.flatMap({ WireError.Code(rawValue: $0) }),
        let message = error["message"]?.string
      else { return nil }
      self = .failed(ticket: ticket, WireError(code, String(message.prefix(4096))))
    case ("missing", let ticket?): self = .missing(ticket: ticket)
    case ("bye", _): self = .bye
    default: return nil
    }
  }

  /// Whether it has a ticket.
  var isAboutAJob: Bool {
    switch self {
    case .partial, .result, .failed, .missing: true
    case .ready, .unusable, .heartbeat, .bye: false
    }
  }

  var frames: [[UInt8]] {
    func head(_ type: String, _ ticket: UInt64, _ more: [(String, JSONValue?)] = []) -> [UInt8] {
      StageProtocol.frame(type, [("ticket", .integer(Int(ticket)))] + more)
    }
    return switch self {
    case .ready(let ready): [StageProtocol.frame("ready", ready.fields)]
    case .unusable: [StageProtocol.frame("ready")]
    case .heartbeat(let progress): [StageProtocol.frame("heartbeat", [("progress", .integer(progress))])]
    case .partial(let ticket, let body): [head("partial", ticket), body]
    case .result(let ticket, let result): [head("result", ticket), result.body] + result.blobs
    case .failed(let ticket, let error): [head("failed", ticket, [("error", error.json)])]
    case .missing(let ticket): [head("missing", ticket)]
    case .bye: [StageProtocol.frame("bye")]
    }
  }
}

/// A job as it goes to a worker.
struct StageJobMessage: Sendable {
  var ticket: UInt64
  var lane: Lane
  /// A request in the words of the wire, whose image is a handle.
  var body: [UInt8]
  var blobs: [[UInt8]]
  /// What the handle names, if the worker is thought not to hold it: the last frame.
  var attachment: StageAttachment?
}

/// What a worker keeps by its handle: a picture's pixels, or the image tokens that its words begin with.
struct StageAttachment: Sendable {
  var handle: String
  /// Of the picture, in pixels.
  var width: Int
  var height: Int
  var content: Content
  var bytes: [UInt8]

  enum Content: Sendable, Equatable {
    /// The encoding of the bytes.
    case picture(ImageEncoding)
    /// Little-endian float32, `[rows, columns]`.
    case tokens(rows: Int, columns: Int)
  }

  fileprivate var json: JSONValue {
    var fields: [(String, JSONValue?)] = [
      ("handle", .string(handle)), ("width", .integer(width)), ("height", .integer(height)),
    ]
    switch content {
    case .picture(let encoding): fields.append(("encoding", .string(encoding.rawValue)))
    case .tokens(let rows, let columns):
      fields += [("dtype", .string("float32")), ("shape", .array([.integer(rows), .integer(columns)]))]
    }
    return JSONValue(entries: fields)
  }

  fileprivate init?(_ fields: JSONValue, bytes: [UInt8]) {
    guard let handle = fields["handle"]?.string, handle.utf8.count <= 128, let width = fields["width"]?.integer,
      let height = fields["height"]?.integer, (1...1 << 16).contains(width), (1...1 << 16).contains(height)
    else { return nil }
    if let encoding = fields["encoding"]?.string.flatMap({ ImageEncoding(rawValue: $0) }) {
      content = .picture(encoding)
    } else if let rows = fields["shape"]?[0]?.integer, let columns = fields["shape"]?[1]?.integer,
      (1...1 << 20).contains(rows), (1...1 << 20).contains(columns), bytes.count == 4 * rows * columns
    {
      content = .tokens(rows: rows, columns: columns)
    } else {
      return nil
    }
    (self.handle, self.width, self.height, self.bytes) = (handle, width, height, bytes)
  }

  init(handle: String, width: Int, height: Int, content: Content, bytes: [UInt8]) {
    (self.handle, self.width, self.height) = (handle, width, height)
    (self.content, self.bytes) = (content, bytes)
  }
}

enum MessageToWorker: Sendable {
  case job(StageJobMessage)
  /// Nobody waits for this job's result any more; it is answered all the same.
  case cancel(ticket: UInt64)
  /// The daemon lives; the answer to `ready` and to heartbeats.
  case alive
  /// The daemon does not know the worker, or gave it up: drop all jobs and say `ready`.
  case again
  /// The daemon does not want this worker, and why.
  case refused(String)
  /// Go: to one that has said goodbye and has no job any more.
  case stop

  init?(_ frames: [[UInt8]]) {
    guard let (type, fields) = StageProtocol.head(frames) else { return nil }
    switch (type, StageProtocol.ticket(fields)) {
    case ("job", let ticket?):
      guard let lane = fields["lane"]?.string.flatMap({ Lane(rawValue: $0) }), frames.count >= 2 else { return nil }
      var job = StageJobMessage(
        ticket: ticket, lane: lane, body: frames[1], blobs: Array(frames.dropFirst(2)), attachment: nil)
      if let attached = fields["attached"] {
        guard let bytes = job.blobs.popLast(), let attachment = StageAttachment(attached, bytes: bytes) else {
          return nil
        }
        job.attachment = attachment
      }
      self = .job(job)
    case ("cancel", let ticket?): self = .cancel(ticket: ticket)
    case ("alive", _): self = .alive
    case ("again", _): self = .again
    case ("refused", _): self = .refused(fields["message"]?.string ?? "(no reason)")
    case ("stop", _): self = .stop
    default: return nil
    }
  }

  var frames: [[UInt8]] {
    switch self {
    case .job(let job):
      let head = StageProtocol.frame(
        "job",
        [
          ("ticket", .integer(Int(job.ticket))), ("lane", .string(job.lane.rawValue)),
          ("attached", job.attachment?.json),
        ])
      return [head, job.body] + job.blobs + (job.attachment.map { [$0.bytes] } ?? [])
    case .cancel(let ticket): return [StageProtocol.frame("cancel", [("ticket", .integer(Int(ticket)))])]
    case .alive: return [StageProtocol.frame("alive")]
    case .again: return [StageProtocol.frame("again")]
    case .refused(let message): return [StageProtocol.frame("refused", [("message", .string(message))])]
    case .stop: return [StageProtocol.frame("stop")]
    }
  }
}

extension ModelDescription {
  /// A model in another process, as a worker tells of it.
  init?(_ json: JSONValue) {
    func text(_ value: JSONValue?) -> String? {
      guard let text = value?.string, text.utf8.count <= 256 else { return nil }
      return text
    }
    guard let name = text(json["name"]), let role = text(json["role"]), let architecture = text(json["architecture"])
    else { return nil }
    let files = json["files"]?.array ?? []
    guard files.count <= 64 else { return nil }
    let digests = files.compactMap { file in
      text(file["path"]).flatMap { path in text(file["sha256"]).map { (path: path, sha256: $0) } }
    }
    self.init(name: name, role: role, architecture: architecture, digests: ModelDigests(digests))
  }

  /// Whether it may be another than this: what both know of their files must be the same.
  func differs(from other: ModelDescription) -> Bool {
    guard name == other.name, architecture == other.architecture, role == other.role else { return true }
    let mine = Dictionary(files.map { ($0.path, $0.sha256) }) { first, _ in first }
    return other.files.contains { file in mine[file.path].map { $0 != file.sha256 } ?? false }
  }
}
