import Foundation
import Tensors

/// How much a decoder does at once.
public struct DecoderLimits: Sendable, Equatable {
  /// Sequences decoded together.
  public var sequences = 32
  /// The bytes of their own keys and values, when they will have become as long as they may. One is always let in.
  public var cacheBytes = 512 << 20
  /// The rows of prompts in one step. Longer prompts, such as pictures, go through in stretches, so that those who decode
  /// beside them wait for one stretch and not for all.
  public var promptRows = 256

  public init() {}
}

/// What a decoder has done so far.
public struct DecoderCounts: Sendable, Equatable {
  public var steps = 0
  /// Answers begun, and words drawn.
  public var sequences = 0
  public var tokens = 0
}

/// The one loop in which all callers' sequences are decoded: each step runs the newest rows of all of them, so that every
/// weight is read once for all. Sequences join between two steps when there is room, and leave when they end.
///
/// It has no thread of its own. Whoever waits for an answer drives the loop when nobody else does, one step at a time:
/// as long as anybody waits, somebody drives, so nothing can stand still.
final class Decoder: @unchecked Sendable {
  /// Somebody who has sequences in the decoder. Guarded by the decoder's lock.
  final class Caller {
    let priority: Int
    fileprivate var active = 0
    fileprivate var finished: [DecodingSequence] = []

    fileprivate init(priority: Int) { self.priority = priority }
  }

  private let llama: Llama
  private let limits: DecoderLimits
  /// The bytes of one position of a sequence's own.
  private let positionBytes: Int
  private let condition = NSCondition()
  // Guarded by the condition's lock; the sequences themselves are the driver's while they are active.
  private var waiting: [DecodingSequence] = []
  private var active: [DecodingSequence] = []
  private var isDriven = false
  private var done = DecoderCounts()

  init(_ llama: Llama, limits: DecoderLimits = .init()) {
    (self.llama, self.limits) = (llama, limits)
    positionBytes = llama.emptyCache(capacity: 1).byteCount
  }

  var counts: DecoderCounts { locked { done } }

  /// Decodes what `next` gives until it gives no more; several at once, so `next` is called ahead of `finished`.
  ///
  /// - Parameters:
  ///   - priority: higher joins first.
  ///   - isCancelled: asked between steps; true withdraws what is under way and throws `cancelled`.
  ///   - finished: gets each sequence when it has ended, in no fixed order.
  func run(
    priority: Int = 0, isCancelled: () -> Bool, next: () throws(OspreyError) -> DecodingSequence?,
    finished: (DecodingSequence) throws(OspreyError) -> Void
  ) throws(OspreyError) {
    let caller = Caller(priority: priority)
    var (underWay, hasMore) = (0, true)
    do throws(OspreyError) {
      while true {
        if isCancelled() { throw .cancelled }
        while hasMore, underWay < limits.sequences {
          guard let sequence = try next() else {
            hasMore = false
            break
          }
          underWay += 1
          sequence.caller = caller
          locked { waiting.append(sequence) }
        }
        if underWay == 0 { return }
        for sequence in outcome(of: caller) {
          underWay -= 1
          try finished(sequence)
        }
      }
    } catch {
      withdraw(caller)
      throw error
    }
  }

  /// Runs rows that begin many sequences, and nothing behind them. `[P, D]` → a cache of P positions.
  func prefill(
    _ embeddings: Tensor, priority: Int = 0, isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> KeyValueCache {
    var sequence: DecodingSequence? = DecodingSequence(llama, prompt: embeddings, prefix: nil, maxTokens: 0)
    var result = KeyValueCache.none
    try run(priority: priority, isCancelled: isCancelled) { () throws(OspreyError) in
      defer { sequence = nil }
      return sequence
    } finished: { done throws(OspreyError) in
      result = done.lendCache()
    }
    return result
  }

  /// What of the caller's has ended; if nothing has, runs a step or waits for the one under way.
  private func outcome(of caller: Caller) -> [DecodingSequence] {
    condition.lock()
    defer { condition.unlock() }
    if caller.finished.isEmpty {
      if isDriven {
        // Woken after each step; the time is for cancellations during a long one.
        _ = condition.wait(until: Date(timeIntervalSinceNow: 0.02))
      } else {
        drive()
      }
    }
    defer { caller.finished = [] }
    return caller.finished
  }

  /// One step, with the lock given up while it computes.
  private func drive() {
    admit()
    let batch = active
    guard !batch.isEmpty else { return }
    isDriven = true
    condition.unlock()
    let tokens = DecodingStep(llama, batch, promptRows: limits.promptRows).run()
    condition.lock()
    isDriven = false
    done.steps += 1
    done.tokens += tokens
    for sequence in batch where sequence.isDone { leave(sequence) }
    active.removeAll { $0.isDone || $0.isWithdrawn }
    condition.broadcast()
  }

  private func leave(_ sequence: DecodingSequence) {
    guard let caller = sequence.caller, !sequence.isWithdrawn else { return }
    caller.active -= 1
    caller.finished.append(sequence)
  }

  /// Lets in who waits, while there is room: by priority, then those whose caller has the fewest under way, then in the
  /// order in which they came. So one question does not wait behind a whole picture of them.
  private func admit() {
    active.removeAll { $0.isWithdrawn }
    let context = llama.configuration.context
    var bytes = active.reduce(0) { $0 + $1.greatestCount(context: context) * positionBytes }
    while active.count < limits.sequences {
      let best = waiting.indices.min { a, b in
        let (one, other) = (rank(waiting[a]), rank(waiting[b]))
        return one == other ? a < b : one < other
      }
      guard let best else { return }
      let sequence = waiting[best]
      let more = sequence.greatestCount(context: context) * positionBytes
      // A picture is let in beside the answers, since many will wait for it, but only one at a time.
      let isPicture = sequence.maxTokens == 0
      let fits = isPicture ? !active.contains { $0.maxTokens == 0 } : bytes + more <= limits.cacheBytes
      guard active.isEmpty || fits else { return }
      waiting.remove(at: best)
      active.append(sequence)
      sequence.caller?.active += 1
      if !isPicture {
        bytes += more
        done.sequences += 1
      }
    }
  }

  private func rank(_ sequence: DecodingSequence) -> (Int, Int) {
    (-(sequence.caller?.priority ?? 0), sequence.caller?.active ?? 0)
  }

  private func withdraw(_ caller: Caller) {
    locked {
      waiting.removeAll { $0.caller === caller }
      for sequence in active where sequence.caller === caller { sequence.isWithdrawn = true }
    }
  }

  private func locked<R>(_ body: () -> R) -> R {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }
}
