extension FrontEnd {
  /// An answer that took no work, on its way to a client of the data endpoint.
  struct Delayed {
    var frames: [[UInt8]]
    var envelope: [[UInt8]]
    /// As how many answers it counts: to read a large header takes as long as many small ones, a megabyte some 80 ms.
    var cost: Int

    static func cost(headerBytes: Int) -> Int { 1 + headerBytes >> 14 }
  }

  /// So many by their cost wait before nothing more is read while somebody's work is under way. The library then lets the senders wait; since
  /// it takes connections in turn, between two messages of a flood everybody else's next one is read.
  private static let unreadFrom = 64
  /// So many wait at most.
  private static let mostDelayed = 192

  /// Whether somebody's work is under way, or was a moment ago: who clicks will click again.
  var isInUse: Bool { !isDraining && (!active.isEmpty || .now - lastUse < .milliseconds(50)) }

  /// One that waits, however large, is of somebody who waits for it too.
  var mayRead: Bool { active.isEmpty || delayedCost - (delayed.first?.cost ?? 0) < Self.unreadFrom }

  func sendInTurn(_ frames: [[UInt8]], to envelope: [[UInt8]], cost: Int = 1) {
    if delayed.isEmpty, !isInUse || pace.take(for: envelope[0], cost: cost) {
      return send(frames, to: envelope, on: data)
    }
    if delayed.count == Self.mostDelayed { sendDelayed(first: 1) }
    delayed.append(Delayed(frames: frames, envelope: envelope, cost: cost))
    delayedCost += cost
  }

  /// Sends those whose turn has come: all of them when nobody works.
  func sendDelayed() {
    guard !delayed.isEmpty else { return }
    let isInUse = isInUse
    sendDelayed(first: delayed.prefix { !isInUse || pace.take(for: $0.envelope[0], cost: $0.cost) }.count)
  }

  private func sendDelayed(first count: Int) {
    for reply in delayed.prefix(count) {
      send(reply.frames, to: reply.envelope, on: data)
      delayedCost -= reply.cost
    }
    delayed.removeFirst(count)
  }
}
