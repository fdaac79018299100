import Foundation
import Tensors

/// One greedy continuation.
struct Generation: Sendable {
  /// Without the end token.
  var ids: [Int] = []
  /// The natural logarithms of the probabilities of `ids` and, if there was one, the end token.
  var logProbabilities: [Double] = []
  var isFinished = false
  /// `[V]`: what the first token was chosen from.
  var firstLogits: Tensor?
}

extension Llama {
  /// Runs the tokens that every question about a picture begins with. `[P, D]` → a cache of P positions.
  func prefill(_ embeddings: Tensor) -> KeyValueCache {
    var caches = [emptyCache(capacity: embeddings.shape[0])]
    _ = forward(embeddings, lengths: [embeddings.shape[0]], prefix: nil, caches: &caches)
    return caches[0]
  }

  /// Continues one prefix with several prompts at once, each greedily to its end.
  ///
  /// - Parameters:
  ///   - prompts: what stands behind the prefix, each `[L, D]`, L ≥ 1.
  ///   - prefix: the cache, and how many of its positions count.
  ///   - maxTokens: the most tokens of each answer; the model's context may end it earlier.
  func generate(
    _ prompts: [Tensor], prefix: (cache: KeyValueCache, count: Int), maxTokens: Int, isCancelled: () -> Bool
  ) throws(OspreyError) -> [Generation] {
    var generations = Array(repeating: Generation(), count: prompts.count)
    var active = Array(prompts.indices)
    var caches = prompts.map { emptyCache(capacity: $0.shape[0] + min(maxTokens, 64)) }
    var lengths = prompts.map { $0.shape[0] }
    var x = Tensor.concatenated(prompts)

    for step in 0..<maxTokens {
      if isCancelled() { throw .cancelled }
      let hidden = forward(x, lengths: lengths, prefix: prefix, caches: &caches)
      var ends: [Int] = []
      for length in lengths { ends.append((ends.last ?? -1) + length) }
      let logits = logits(step == 0 ? .concatenated(ends.map { hidden.rows($0..<$0 + 1) }) : hidden)

      var (kept, ids) = ([Int](), [Int]())
      for (slot, index) in active.enumerated() {
        let row = logits.row(slot)
        if step == 0 { generations[index].firstLogits = row }
        let (id, logProbability) = row.greedyChoice(among: configuration.vocabularySize)
        generations[index].logProbabilities.append(logProbability)
        if configuration.endIds.contains(id) {
          generations[index].isFinished = true
          continue
        }
        generations[index].ids.append(id)
        if prefix.count + caches[slot].count < configuration.context {
          kept.append(slot)
          ids.append(id)
        }
      }
      if kept.isEmpty { break }
      if kept.count < active.count {
        active = kept.map { active[$0] }
        caches = kept.map { caches[$0] }
      }
      x = embed(ids)
      lengths = Array(repeating: 1, count: ids.count)
    }
    return generations
  }
}

extension Tensor {
  /// The index of the first greatest of the first `limit` numbers, and its logarithm of probability under a softmax.
  func greedyChoice(among limit: Int) -> (index: Int, logProbability: Double) {
    withUnsafe { all in
      let logits = UnsafeBufferPointer(rebasing: all.prefix(limit))
      var best = 0
      for i in logits.indices where logits[i] > logits[best] { best = i }
      let sum = logits.reduce(0.0) { $0 + exp(Double($1 - logits[best])) }
      return (best, -log(sum))
    }
  }
}
