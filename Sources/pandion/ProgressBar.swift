import Daemon
import Foundation
import Synchronization

/// A line on a terminal that shows how far long work has come; nothing in a pipe.
struct ProgressBar {
  private let title: String
  private let total: Int
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = ContinuousClock.now

  init(_ title: String, total: Int) {
    self.title = title
    self.total = max(total, 1)
  }

  /// Draws the bar at `done` of `total`; the last call ends the line.
  func update(_ done: Int) {
    guard isTerminal else { return }
    let width = 30
    let filled = width * min(done, total) / total
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let elapsed = start.duration(to: .now).seconds
    let left = done > 0 ? Int(elapsed / Double(done) * Double(total - done)) : 0
    let end = done >= total ? "\n" : ""
    FileHandle.standardError.write(Data("\r\(title) \(bar) \(done)/\(total)  \(left) s left \(end)".utf8))
  }
}

/// One bar a file, for work that reports from another thread.
final class ProgressBars: Sendable {
  private let bars = Mutex<[String: ProgressBar]>([:])

  func update(_ title: String, _ done: Int, _ total: Int) {
    bars.withLock { bars in
      let bar = bars[title] ?? ProgressBar(title, total: total)
      bars[title] = bar
      bar.update(done)
    }
  }
}
