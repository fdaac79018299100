import Crypto
import Dispatch
import Synchronization
import Wire

/// One job for a worker, from the thread that waits for its result to the thread that talks to workers. It is answered
/// once: whoever answers first.
final class StageCall: Sendable {
  let lane: Lane
  let body: [UInt8]
  let blobs: [[UInt8]]
  let attachment: StageAttachment
  let errand: Errand
  /// The same for the same work, whoever asks for it: what a quarantine knows it by.
  private let request: [UInt8]
  private let inbox = Mutex<Inbox>(Inbox())
  private let came = DispatchSemaphore(value: 0)

  private struct Inbox {
    var partials: [[UInt8]] = []
    var partialBytes = 0
    var outcome: Result<StageResult, WireError>?
  }

  /// - Parameters:
  ///   - request: about the attachment's handle.
  ///   - extra: fields that only workers read.
  ///   - errand: for whom.
  init(
    _ lane: Lane, _ request: Request, extra: [(String, JSONValue?)] = [], blobs: [[UInt8]] = [],
    about attachment: StageAttachment, for errand: Errand = Errand()
  ) {
    (self.lane, self.blobs, self.attachment, self.errand) = (lane, blobs, attachment, errand)
    body = request.header.appending(extra).serialized()
    var neutral = request
    (neutral.priority, neutral.stream) = (0, false)
    self.request = request == neutral ? body : neutral.header.appending(extra).serialized()
  }

  /// The SHA-256 of what makes it this work and no other.
  var contentHash: String {
    var hash = SHA256()
    hash.update(data: Array("\(lane.rawValue)\n".utf8))
    hash.update(data: request)
    for blob in blobs { hash.update(data: blob) }
    return hash.finalize().hexadecimal
  }

  /// So many bytes may wait for the thread that reads them.
  private static let partialBytes = 64 << 20

  func add(partial body: [UInt8]) {
    inbox.withLock { inbox in
      guard inbox.outcome == nil else { return }
      inbox.partials.append(body)
      // An empty one takes memory too.
      inbox.partialBytes += body.count + 64
      if inbox.partialBytes > Self.partialBytes {
        inbox.outcome = .failure(WireError(.internal, "a worker of stage '\(lane.stage.rawValue)' sends without end"))
      }
    }
    came.signal()
  }

  func finish(_ outcome: Result<StageResult, WireError>) {
    inbox.withLock { if $0.outcome == nil { $0.outcome = outcome } }
    came.signal()
  }

  /// Waits for the end.
  ///
  /// - Parameter isCancelled: asked every 20 ms; once true it throws `cancelled`.
  func wait(isCancelled: () -> Bool, partial: ([UInt8]) throws(WireError) -> Void) throws(WireError) -> StageResult {
    while true {
      _ = came.wait(timeout: .now() + .milliseconds(20))
      let news = inbox.withLock { inbox in
        defer { (inbox.partials, inbox.partialBytes) = ([], 0) }
        return inbox
      }
      for body in news.partials { try partial(body) }
      if let outcome = news.outcome { return try outcome.get() }
      if isCancelled() {
        finish(.failure(.wasCancelled))
        throw .wasCancelled
      }
    }
  }
}

/// Work that ended workers, which is not tried again. The last so many are remembered.
struct Quarantine: Sendable {
  private let capacity: Int
  private var hashes: Set<String> = []
  private var order: [String] = []

  init(capacity: Int = 1024) { self.capacity = capacity }

  var count: Int { order.count }
  var isEmpty: Bool { order.isEmpty }
  func holds(_ hash: String) -> Bool { hashes.contains(hash) }

  mutating func add(_ hash: String) {
    guard hashes.insert(hash).inserted else { return }
    order.append(hash)
    if order.count > capacity { hashes.remove(order.removeFirst()) }
  }
}
