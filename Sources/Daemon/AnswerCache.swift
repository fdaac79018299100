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
    let key: Key
    let frames: [[UInt8]]
    let bytes: Int
    /// When it is to be forgotten, if it is large.
    let end: ContinuousClock.Instant?
  }

  /// In bytes.
  private static let large = 256 << 10
  private static let largeAge = Duration.seconds(10)

  private let capacity: Int
  private let byteCapacity: Int
  /// The oldest first; so few that it costs little to look through all.
  private var answers: [Answer] = []
  private var bytes: Int { answers.reduce(0) { $0 + $1.bytes } }

  init(capacity: Int, bytes: Int) { (self.capacity, byteCapacity) = (capacity, bytes) }

  subscript(key: Key) -> [[UInt8]]? { answers.first { $0.key == key }?.frames }

  /// When the next large one is to be forgotten.
  var nextEnd: ContinuousClock.Instant? { answers.lazy.compactMap(\.end).first }

  /// Keeps an answer; one that would take half of the room is not kept.
  mutating func keep(_ frames: [[UInt8]], for key: Key, now: ContinuousClock.Instant = .now) {
    let size = frames.reduce(0) { $0 + $1.count }
    guard capacity > 0, size <= byteCapacity / 2, self[key] == nil else { return }
    answers.append(Answer(key: key, frames: frames, bytes: size, end: size > Self.large ? now + Self.largeAge : nil))
    while answers.count > capacity { forgetOldest { _ in 1 } }
    while bytes > byteCapacity { forgetOldest { $0.bytes } }
  }

  /// Forgets large ones whose time is over.
  mutating func forgetLate(now: ContinuousClock.Instant = .now) {
    guard let nextEnd, nextEnd <= now else { return }
    answers.removeAll { $0.end.map { $0 <= now } ?? false }
  }

  /// Of those of the clients that have the most, the oldest.
  private mutating func forgetOldest(of measure: (Answer) -> Int) {
    var held: [[UInt8]: Int] = [:]
    for answer in answers { held[answer.key.client, default: 0] += measure(answer) }
    let most = held.values.max()
    if let index = answers.firstIndex(where: { held[$0.key.client] == most }) { answers.remove(at: index) }
  }
}
