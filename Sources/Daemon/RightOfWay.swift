import Foundation
import Synchronization

/// Who goes first in a stage that works on a click and on masks of everything or cameras' frames at once: both would be slow, and somebody
/// waits for the click.
final class RightOfWay: Sendable {
  private let inFront = Atomic<Int>(0)
  /// The longest that the long work stands still at a time, so that a stream of clicks does not stop it for good.
  private let patience = Duration.milliseconds(200)

  /// Does what others wait for.
  func goFirst<Result>(_ work: () throws -> Result) rethrows -> Result {
    inFront.add(1, ordering: .relaxed)
    defer { inFront.subtract(1, ordering: .relaxed) }
    return try work()
  }

  /// Called by long work between its steps: returns when nobody is in front, or patience ends.
  func giveWay() {
    guard inFront.load(ordering: .relaxed) > 0 else { return }
    let start = ContinuousClock.now
    while inFront.load(ordering: .relaxed) > 0, .now - start < patience { usleep(500) }
  }
}
