import Foundation
import Masks
import Tensors

/// An entry of a user's vocabulary as an answer.
public struct Choice: Sendable, Equatable {
  public let word: String
  /// The natural logarithm of the probability that the model answers exactly this.
  public let logProbability: Double
  /// The same, among the entries of the vocabulary only; these sum to 1.
  public let share: Double
}

extension Osprey {
  public static let vocabularyLimit = 4096
  private static let wordLimit = 256

  /// What a region is in the user's own words: each is weighed as the whole answer, nothing is generated.
  ///
  /// - Returns: every word once, the likeliest first; equals in the vocabulary's order.
  public func choose(
    _ image: OspreyImage, mask: BitMask, among vocabulary: [String], style: LabelStyle = .category,
    isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> [Choice] {
    guard (1...Self.vocabularyLimit).contains(vocabulary.count) else {
      throw .vocabulary(reason: "has \(vocabulary.count) entries, must have 1…\(Self.vocabularyLimit)")
    }
    var (words, seen) = ([String](), Set<String>())
    for word in vocabulary {
      let word = word.trimmingCharacters(in: .whitespacesAndNewlines)
      guard (1...Self.wordLimit).contains(word.utf8.count) else {
        throw .vocabulary(reason: "has an entry of \(word.utf8.count) bytes, must be 1…\(Self.wordLimit)")
      }
      if seen.insert(word).inserted { words.append(word) }
    }
    let prompt = try prompt(image, Request(masks: [mask], question: Question(style)))
    let answers = words.map { tokenizer.encode($0) + [tokenizer.endId] }
    let longest = prompt.shared + prompt.embeddings.shape[0] + answers.reduce(0) { max($0, $1.count) }
    guard longest <= configuration.context else {
      throw .promptTooLong(tokens: longest, limit: configuration.context)
    }
    let scores = try llama.logProbabilities(
      of: answers, after: prompt.embeddings, prefix: (image.prefix, prompt.shared), isCancelled: isCancelled)
    let best = scores.reduce(-Double.infinity) { max($0, $1) }
    let total = scores.reduce(0) { $0 + exp($1 - best) }
    return zip(words, scores).enumerated()
      .sorted { ($1.element.1, $0.offset) < ($0.element.1, $1.offset) }
      .map { Choice(word: $0.element.0, logProbability: $0.element.1, share: exp($0.element.1 - best) / total) }
  }
}

extension Llama {
  /// The logarithm of the probability of each continuation of one prompt.
  ///
  /// - Parameters:
  ///   - continuations: token ids, each at least two.
  ///   - prompt: `[L, D]`, behind the first `prefix.count` positions of the cache.
  func logProbabilities(
    of continuations: [[Int]], after prompt: Tensor, prefix: (cache: KeyValueCache, count: Int),
    isCancelled: () -> Bool
  ) throws(OspreyError) -> [Double] {
    var asked = [emptyCache(capacity: prompt.shape[0] + 8)]
    let hidden = forward(prompt, lengths: [prompt.shape[0]], prefix: prefix, caches: &asked)
    let first = logits(hidden.rows(hidden.shape[0] - 1..<hidden.shape[0])).row(0)
    var results: [Double] = []
    let batchSize = 32
    for start in stride(from: 0, to: continuations.count, by: batchSize) {
      if isCancelled() { throw .cancelled }
      let batch = continuations[start..<min(start + batchSize, continuations.count)]
      // Each continues a copy of the prompt's few positions; the long prefix stays shared.
      var caches = Array(repeating: asked[0], count: batch.count)
      let lengths = batch.map { $0.count - 1 }
      let rows = logits(
        forward(embed(batch.flatMap { $0.dropLast() }), lengths: lengths, prefix: prefix, caches: &caches))
      var row = 0
      for ids in batch {
        var sum = first.logProbability(of: ids[0], among: configuration.vocabularySize)
        for id in ids.dropFirst() {
          sum += rows.row(row).logProbability(of: id, among: configuration.vocabularySize)
          row += 1
        }
        results.append(sum)
      }
    }
    return results
  }
}

extension Tensor {
  /// The logarithm of the softmax of the first `limit` numbers, at one of them.
  func logProbability(of index: Int, among limit: Int) -> Double {
    withUnsafe { all in
      let logits = all.prefix(limit)
      let best = logits.reduce(-Float.infinity) { max($0, $1) }
      let sum = logits.reduce(0.0) { $0 + exp(Double($1 - best)) }
      return Double(all[index] - best) - log(sum)
    }
  }
}
