import CSystem
import Foundation
import Tensors

/// A thread that now and then does what no request asks for, from `init` until `stop`.
final class Housekeeper: Sendable {
  private static let interval = DispatchTimeInterval.milliseconds(250)
  /// So often does it give memory back.
  private static let rounds = 40
  private let isOver = DispatchSemaphore(value: 0)
  private let finished = DispatchSemaphore(value: 0)

  init(_ incoming: IncomingGuard) {
    let (isOver, finished) = (isOver, finished)
    let thread = Thread {
      var round = 0
      while isOver.wait(timeout: .now() + Self.interval) == .timedOut {
        incoming.look()
        round += 1
        if round.isMultiple(of: Self.rounds) { Self.giveFreeMemoryBack() }
      }
      finished.signal()
    }
    thread.name = "pandion-keeper"
    thread.start()
  }

  func stop() {
    isOver.signal()
    finished.wait()
  }

  /// The C library keeps what was freed in the middle of its heaps, such as what a thousand strangers took; the system gets it
  /// back only if told.
  private static func giveFreeMemoryBack() {
    LargeBlocks.giveIdleBack()
    if mallinfo2().fordblks > 4 << 20 { malloc_trim(0) }
  }
}
