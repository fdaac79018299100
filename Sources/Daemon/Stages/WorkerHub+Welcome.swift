/// Who is told to come in anew.
extension WorkerHub {
  /// So many unknown ones are remembered for having been told `again`.
  private static let mostAsked = 1024

  /// Tells one that is not known, or not any more, to come in. It may say much before it hears that, and it is told once a
  /// second.
  func sayAgain(_ identity: [UInt8]) {
    let before = asked[identity]
    if let before, .now - before.last < .seconds(1) { return }
    if asked.count >= Self.mostAsked { asked = [:] }
    asked[identity] = (count: (before?.count ?? 0) + 1, last: .now)
    send(.again, to: identity)
  }

  /// - Returns: whether it comes in because it was told to.
  func noteAnswer(_ identity: [UInt8]) -> Bool {
    guard let count = asked[identity]?.count else { return false }
    if count > 1 { asked[identity]?.count = count - 1 } else { asked[identity] = nil }
    return true
  }
}
