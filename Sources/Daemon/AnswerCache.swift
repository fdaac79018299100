import Wire

/// The last answers by client and id, so that a repeated request is not run twice. Where there is no room for all, who has the most
/// loses its oldest, so that nobody's come to be forgotten because another asks much. Large ones are kept for ten seconds: most
/// clients do not ask again, and some have gone.
struct AnswerCache {
  struct Key: Hashable {
    var client: [UInt8]
    var id: ExactText
  }

  private struct Answer {
    let id: ExactText
    let frames: [[UInt8]]
    let bytes: Int
    /// The least is the oldest.
    let serial: Int
    /// When it is to be forgotten, if it is large.
    let end: ContinuousClock.Instant?
  }

  /// In bytes.
  private static let large = 256 << 10
  private static let largeAge = Duration.seconds(10)

  /// One client's, the oldest first.
  private struct Held {
    var answers: [Answer] = []
    var bytes = 0
  }

  private let capacity: Int
  private let byteCapacity: Int
  private var clients: [[UInt8]: Held] = [:]
  private var count = 0
  private var bytes = 0
  private var serial = 0
  /// When the next large one is to be forgotten.
  private(set) var nextEnd: ContinuousClock.Instant?

  init(capacity: Int, bytes: Int) { (self.capacity, byteCapacity) = (capacity, bytes) }

  subscript(key: Key) -> [[UInt8]]? { clients[key.client]?.answers.first { $0.id == key.id }?.frames }

  /// Keeps an answer; one that would take half of the room is not kept.
  mutating func keep(_ frames: [[UInt8]], for key: Key, now: ContinuousClock.Instant = .now) {
    let size = frames.reduce(0) { $0 + $1.count }
    guard capacity > 0, size <= byteCapacity / 2, self[key] == nil else { return }
    let end = size > Self.large ? now + Self.largeAge : nil
    let answer = Answer(id: key.id, frames: frames, bytes: size, serial: serial, end: end)
    clients[key.client, default: Held()].answers.append(answer)
    clients[key.client, default: Held()].bytes += size
    if let end { nextEnd = min(nextEnd ?? end, end) }
    (serial, count, bytes) = (serial + 1, count + 1, bytes + size)
    while count > capacity { forgetOldest { $0.answers.count } }
    while bytes > byteCapacity { forgetOldest { $0.bytes } }
  }

  /// Forgets large ones whose time is over.
  mutating func forgetLate(now: ContinuousClock.Instant = .now) {
    guard let nextEnd, nextEnd <= now else { return }
    var held: [[UInt8]: Held] = [:]
    (count, bytes, self.nextEnd) = (0, 0, nil)
    for (client, one) in clients {
      let answers = one.answers.filter { $0.end.map { $0 > now } ?? true }
      guard !answers.isEmpty else { continue }
      held[client] = Held(answers: answers, bytes: answers.reduce(0) { $0 + $1.bytes })
      count += answers.count
      bytes += held[client]?.bytes ?? 0
      self.nextEnd = (answers.compactMap(\.end) + (self.nextEnd.map { [$0] } ?? [])).min()
    }
    clients = held
  }

  /// - Parameter measure: of what the client that is to forget has the most; of equals the one with the oldest answer.
  private mutating func forgetOldest(of measure: (Held) -> Int) {
    let most = clients.max { a, b in
      let (left, right) = (measure(a.value), measure(b.value))
      return left == right ? a.value.answers[0].serial > b.value.answers[0].serial : left < right
    }
    guard let client = most?.key, var held = clients.removeValue(forKey: client) else { return }
    let oldest = held.answers.removeFirst()
    held.bytes -= oldest.bytes
    (count, bytes) = (count - 1, bytes - oldest.bytes)
    if !held.answers.isEmpty { clients[client] = held }
  }
}
