import Foundation

/// Where the handler writes; a plain global, since a handler may not run anything that initialises lazily.
nonisolated(unsafe) private var signalPipe: Int32 = -1

/// SIGTERM and SIGINT as calls on an ordinary thread, from `init` until `restore`.
///
/// A handler of our own with a pipe: Dispatch's signal sources install theirs some time after they are resumed, and a
/// signal that comes before is lost. One at a time in a process.
final class TerminationSignals {
  private static let numbers = [SIGTERM, SIGINT]
  private let reader: Int32
  private let writer: Int32

  /// Every signal from now on is kept.
  init() throws(DaemonError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .system(call: "pipe", errno: errno) }
    (reader, writer) = (ends[0], ends[1])
    signalPipe = writer
    for number in Self.numbers {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in
        let saved = errno
        var byte: UInt8 = 1
        _ = write(signalPipe, &byte, 1)
        errno = saved
      }
      sigaction(number, &action, nil)
    }
  }

  /// Calls `body` for each signal, also for those that came since `init`.
  func handle(_ body: @escaping @Sendable () -> Void) {
    let reader = reader
    let thread = Thread {
      var byte: UInt8 = 0
      while true {
        let count = read(reader, &byte, 1)
        if count == 1 { body() } else if count == 0 || errno != EINTR { break }
      }
      close(reader)
    }
    thread.name = "pandion-signals"
    thread.start()
  }

  /// Gives the signals back their usual meaning and ends the thread.
  func restore() {
    for number in Self.numbers { signal(number, SIG_DFL) }
    signalPipe = -1
    close(writer)
  }
}
