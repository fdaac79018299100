/// How fast answers go out that took no work, refusals above all, while somebody's work is under way.
///
/// To refuse a message costs little, but a flood of them takes the cores from those who work here and for others. So a burst
/// is answered at once and then only so many a second; who waits for answers sends no more meanwhile.
struct Pace {
  /// So many a second for each client that is talking, of which some are counted.
  private let perSecond: Double
  private let mostTalkers = 16
  /// So many at once.
  private let burst = 64.0
  private var left: Double
  private var counted: ContinuousClock.Instant
  private var talkers: Set<[UInt8]> = []
  private var talkersSince: ContinuousClock.Instant

  init(perSecond: Int, now: ContinuousClock.Instant = .now) {
    self.perSecond = Double(perSecond)
    (counted, talkersSince) = (now, now)
    left = burst
  }

  /// Whether one more answer may go out now; it counts then.
  ///
  /// - Parameter cost: as how many; what costs more than is left makes the next wait longer.
  mutating func take(for client: [UInt8], cost: Int = 1, now: ContinuousClock.Instant = .now) -> Bool {
    if now - talkersSince > .seconds(1) {
      talkers = []
      talkersSince = now
    }
    if talkers.count < mostTalkers { talkers.insert(client) }
    refill(now)
    guard left >= 1 else { return false }
    left -= Double(cost)
    return true
  }

  /// When the next answer may go out, in milliseconds from now, at least 1.
  mutating func delay(now: ContinuousClock.Instant = .now) -> Int {
    refill(now)
    return max(1, Int(((1 - left) * 1000 / rate).rounded(.up)))
  }

  private var rate: Double { perSecond * Double(max(1, talkers.count)) }

  private mutating func refill(_ now: ContinuousClock.Instant) {
    left = min(burst, left + (now - counted).seconds * rate)
    counted = now
  }
}
