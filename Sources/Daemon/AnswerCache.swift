/// The last answers by client and id, so that a repeated request is not run twice.
struct AnswerCache {
  struct Key: Hashable {
    var client: [UInt8]
    var id: String
  }

  private let capacity: Int
  private let byteCapacity: Int
  private var answers: [Key: [[UInt8]]] = [:]
  /// The oldest first.
  private var order: [Key] = []
  private var bytes = 0

  init(capacity: Int, bytes: Int) { (self.capacity, byteCapacity) = (capacity, bytes) }

  subscript(key: Key) -> [[UInt8]]? { answers[key] }

  /// Keeps an answer; one that is too large to keep with its like is not kept.
  mutating func keep(_ frames: [[UInt8]], for key: Key) {
    let size = frames.reduce(0) { $0 + $1.count }
    guard capacity > 0, size <= byteCapacity / 4, answers[key] == nil else { return }
    answers[key] = frames
    order.append(key)
    bytes += size
    while order.count > capacity || bytes > byteCapacity {
      let oldest = order.removeFirst()
      bytes -= answers.removeValue(forKey: oldest)?.reduce(0) { $0 + $1.count } ?? 0
    }
  }
}
