import Foundation
import Synchronization

/// Where the handler writes; a plain global, since a handler may not run anything that initialises lazily.
nonisolated(unsafe) private var signalPipe: Int32 = -1

/// SIGTERM and SIGINT, and SIGHUP, as calls on an ordinary thread, from `init` until `restore`.
///
/// A handler of our own with a pipe: Dispatch's signal sources install theirs some time after they are resumed, and a
/// signal that comes before is lost. One at a time in a process.
public final class TerminationSignals {
  private static let numbers = [SIGTERM, SIGINT, SIGHUP]
  private let reader: Int32
  private let writer: Int32

  /// Every signal from now on is kept.
  ///
  /// - Parameter onlyHangups: SIGTERM and SIGINT end the process, as they do, until `keepAll`: a SIGHUP while models are loaded is
  ///   for them, and would end it else.
  public init(onlyHangups: Bool = false) throws(DaemonError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .system(call: "pipe", errno: errno) }
    (reader, writer) = (ends[0], ends[1])
    signalPipe = writer
    keep(onlyHangups ? [SIGHUP] : Self.numbers)
  }

  func keepAll() { keep(Self.numbers) }

  private func keep(_ numbers: [Int32]) {
    for number in numbers {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { number in
        let saved = errno
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(signalPipe, &byte, 1)
        errno = saved
      }
      sigaction(number, &action, nil)
    }
  }

  /// Calls `body` for each signal, also for those that came since `init`.
  ///
  /// - Parameter hangup: called instead for SIGHUP, on a thread of its own, since it may take long.
  func handle(_ body: @escaping @Sendable () -> Void, hangup: (@Sendable () -> Void)? = nil) {
    let hangups = hangup.map { Repeater(name: "pandion-reload", $0) }
    let reader = reader
    let thread = Thread {
      // Whoever started this process may have blocked them, and that is inherited.
      var ours = sigset_t()
      sigemptyset(&ours)
      for number in Self.numbers { sigaddset(&ours, number) }
      pthread_sigmask(SIG_UNBLOCK, &ours, nil)
      var byte: UInt8 = 0
      while true {
        let count = read(reader, &byte, 1)
        if count == 1 {
          if Int32(byte) == SIGHUP { hangups?.ask() } else { body() }
        } else if count == 0 || errno != EINTR {
          break
        }
      }
      hangups?.end()
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

/// Does something on a thread of its own whenever it is asked to; what is asked for meanwhile is done once more.
private final class Repeater: Sendable {
  private let asked = DispatchSemaphore(value: 0)
  private let isOver = Mutex(false)

  init(name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread { [self] in
      while true {
        asked.wait()
        while asked.wait(timeout: .now()) == .success {}
        if isOver.withLock({ $0 }) { return }
        body()
      }
    }
    thread.name = name
    thread.stackSize = 16 << 20
    thread.start()
  }

  func ask() { asked.signal() }

  func end() {
    isOver.withLock { $0 = true }
    asked.signal()
  }
}
