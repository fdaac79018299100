import Masks
import Synchronization
import Wire

/// One request on its way through the stages. One thread has it at a time; only the cancellation comes from elsewhere.
final class Job: @unchecked Sendable {
  let request: Request
  var blobs: [[UInt8]]
  let arrived: ContinuousClock.Instant
  /// Whether it is about a camera's frame, which another will follow.
  let isFrame: Bool
  private let cancelled = Atomic<Bool>(false)
  private let partials = Mutex<[Reply]>([])
  /// Tells the front end that there are partial replies; set while a stage works on the job.
  var announce: (() -> Void)?

  /// With what it is worked on, from its first stage to its last.
  var models: Pipeline.Models?
  var picture: Picture?
  var regions: [Region] = []
  /// What was answered to a question about several of them.
  var answer: Words?
  var reply: Reply?

  init(_ request: Request, blobs: [[UInt8]], arrived: ContinuousClock.Instant = .now, isFrame: Bool = false) {
    (self.request, self.blobs, self.arrived, self.isFrame) = (request, blobs, arrived, isFrame)
  }

  /// Whether others go first who wait for a click.
  var givesWay: Bool { isFrame || request.operation.takesLong }

  /// Whether somebody wants to hear of it before the end.
  var isWatched: Bool { request.stream && announce != nil }

  /// Hands a streaming client something before the end; nothing for others.
  func emit(_ partial: @autoclosure () throws -> Reply) rethrows {
    guard request.stream, let announce else { return }
    let reply = try partial()
    partials.withLock { $0.append(reply) }
    announce()
  }

  /// What was emitted since the last time.
  func takePartials() -> [Reply] {
    partials.withLock { held in
      defer { held = [] }
      return held
    }
  }

  var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
  func cancel() { cancelled.store(true, ordering: .relaxed) }

  /// When it is not worth beginning a stage any more.
  var deadline: ContinuousClock.Instant? { request.deadlineMilliseconds.map { arrived + .milliseconds($0) } }

  /// Refuses to begin what nobody waits for any more.
  func checkWanted(_ stage: Pipeline.Stage, now: ContinuousClock.Instant = .now) throws(WireError) {
    try checkCancelled()
    guard let deadline, now >= deadline else { return }
    throw .late(request.deadlineMilliseconds, "stage '\(stage.rawValue)'")
  }

  func checkCancelled() throws(WireError) {
    if isCancelled { throw .wasCancelled }
  }
}

extension WireError {
  static let wasCancelled = WireError(.cancelled, "the request was cancelled")

  /// - Parameter what: could not begin any more.
  static func late(_ milliseconds: Int?, _ what: String) -> WireError {
    WireError(.deadline, "deadline_ms was \(milliseconds ?? 0); it passed before \(what) could begin")
  }
}

/// A mask on its way to words.
struct Region {
  var found: FoundMask
  /// The index of the prompt that it answers.
  var prompt: Int?
  /// Fields of a mask that the client brought.
  var kept: [GivenMask.KeptKey: JSONValue] = [:]
  var words: Words?

  init(_ found: FoundMask, prompt: Int? = nil) { (self.found, self.prompt) = (found, prompt) }
}
