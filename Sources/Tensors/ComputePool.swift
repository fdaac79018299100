import CKernels
import Dispatch
import Foundation
import Synchronization

/// The one pool that models compute on: as many threads as cores unless told otherwise. OpenBLAS has no threads of its own beside
/// them (`gemm`): after each product they would wait for the next by spinning, on cores that the loops here need.
public enum ComputePool {
  private static let width = Atomic<Int>(0)
  private static let begun = Atomic<Int>(0)

  /// How many loops have begun so far: as long as it grows, something is being computed.
  public static var progress: Int { begun.load(ordering: .relaxed) }

  /// How many threads one operation may use.
  public static var threads: Int {
    let set = width.load(ordering: .relaxed)
    return set > 0 ? set : cores
  }

  /// Those that the process may run on.
  private static let cores = ProcessInfo.processInfo.activeProcessorCount

  public static func setThreads(_ count: Int) {
    precondition(count > 0)
    width.store(count, ordering: .relaxed)
  }

  /// Whether the caller is the body of a loop here: what it does stays on its thread.
  static var isInside: Bool { ck_loop_depth().pointee > 0 }

  /// Calls `body` with disjoint ranges that cover `0..<count`, several at once; a loop within a loop runs on its own thread.
  ///
  /// - Parameter grain: the fewest items worth a thread of their own; work of one grain runs on the caller.
  public static func forEach(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    if !isInside { begun.wrappingAdd(1, ordering: .relaxed) }
    let pieces = isInside ? 1 : min(threads, count / max(grain, 1))
    guard pieces > 1 else {
      if count > 0 { body(0..<count) }
      return
    }
    // A few pieces a thread, so that one late thread does not hold up the rest.
    perform(min(pieces * 4, count / max(grain, 1)), of: count, body)
  }

  /// Calls `body` with each of `0..<count`, which are large and of different sizes: whoever is done takes the next one.
  public static func forEachAlone(_ count: Int, _ body: (Int) -> Void) {
    if !isInside { begun.wrappingAdd(1, ordering: .relaxed) }
    guard !isInside, threads > 1, count > 1 else { return (0..<count).forEach(body) }
    perform(count, of: count) { part in part.forEach(body) }
  }

  private static func perform(_ parts: Int, of count: Int, _ body: (Range<Int>) -> Void) {
    withoutActuallyEscaping(body) { body in
      let job = UncheckedJob(body: body)
      let (layer, next) = (Profile.Layer.current, Counter())
      // As many calls as threads may run: of more, Dispatch would make as many threads as the machine has cores.
      DispatchQueue.concurrentPerform(iterations: min(threads, parts)) { _ in
        ck_loop_depth().pointee += 1
        defer { ck_loop_depth().pointee -= 1 }
        while let part = next.take(below: parts) {
          let range = part * count / parts..<(part + 1) * count / parts
          if let layer { layer.run { job.body(range) } } else { job.body(range) }
        }
      }
    }
  }
}

extension ComputePool {
  /// Runs `body` as if within a loop: what it does stays on this thread. For work of many short steps, each of which would cost more
  /// to share than to do.
  public static func alone<Result>(_ body: () -> Result) -> Result {
    ck_loop_depth().pointee += 1
    defer { ck_loop_depth().pointee -= 1 }
    return body()
  }

  /// What `transform` makes of `0..<count`, in order, several at once.
  public static func map<Result>(_ count: Int, _ transform: (Int) -> Result) -> [Result] {
    [Result](unsafeUninitializedCapacity: count) { slots, filled in
      guard let base = slots.baseAddress else { return }
      forEach(count, grain: 1) { part in for i in part { (base + i).initialize(to: transform(i)) } }
      filled = count
    }
  }
}

/// `concurrentPerform` wants a Sendable closure. Callers pass bodies that write disjoint memory.
private struct UncheckedJob: @unchecked Sendable {
  let body: (Range<Int>) -> Void
}

/// Hands out 0, 1, 2, … to whoever asks.
private final class Counter: Sendable {
  private let next = Atomic<Int>(0)

  func take(below end: Int) -> Int? {
    let taken = next.wrappingAdd(1, ordering: .relaxed).oldValue
    return taken < end ? taken : nil
  }
}
