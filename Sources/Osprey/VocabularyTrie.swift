import Tensors

/// The words of a vocabulary by their tokens: what several words begin with is run once.
struct VocabularyTrie {
  struct Node {
    let token: Int
    /// The nodes behind this one.
    var children: [Int] = []
    /// The words that end here.
    var words: [Int] = []
  }

  /// Node 0 is the root, which stands for the prompt and has no token.
  private(set) var nodes = [Node(token: -1)]

  /// - Parameter words: the tokens of each word, at least one.
  init(_ words: [[Int]]) {
    for (index, tokens) in words.enumerated() {
      var node = 0
      for token in tokens {
        if let next = nodes[node].children.first(where: { nodes[$0].token == token }) {
          node = next
        } else {
          nodes[node].children.append(nodes.count)
          node = nodes.count
          nodes.append(Node(token: token))
        }
      }
      nodes[node].words.append(index)
    }
  }
}

extension Llama {
  /// How many nodes are run at a time, and the bytes of keys and values that one such group may copy.
  private static let groupSize = 64
  private static let groupBytes = 1 << 28

  /// The logarithm of the probability that the model answers exactly a word and ends, for each word of a trie.
  ///
  /// - Parameters:
  ///   - words: how many there are.
  ///   - end: the token behind a word.
  ///   - prompt: `[L, D]`, behind the first `prefix.count` positions of the cache.
  func logProbabilities(
    of trie: VocabularyTrie, words: Int, end: Int, after prompt: Tensor, prefix: (cache: KeyValueCache, count: Int),
    isCancelled: () -> Bool
  ) throws(OspreyError) -> [Double] {
    var results = [Double](repeating: -.infinity, count: words)
    var asked = [emptyCache(capacity: prompt.shape[0] + 8)]
    let hidden = forward(prompt, lengths: [prompt.shape[0]], prefix: prefix, caches: &asked)
    let first = logits(hidden.rows(hidden.shape[0] - 1..<hidden.shape[0])).row(0)
    let group = max(1, min(Self.groupSize, Self.groupBytes / max(asked[0].byteCount, 1)))
    let vocabulary = configuration.vocabularySize

    /// A node whose token is to be run: what led there, and the probability of having come so far, its token included.
    struct Step {
      let node: Int
      let parent: KeyValueCache
      let logProbability: Double
    }

    /// Notes the words that end at a node, and gives the steps to its children.
    func leave(_ node: Int, _ logits: Tensor, _ cache: KeyValueCache, _ logProbability: Double) -> [Step] {
      let normalizer = logits.logSumExp(among: vocabulary)
      func after(_ token: Int) -> Double { logProbability + Double(logits[token]) - normalizer }
      for word in trie.nodes[node].words { results[word] = after(end) }
      return trie.nodes[node].children.map {
        Step(node: $0, parent: cache, logProbability: after(trie.nodes[$0].token))
      }
    }

    // Depth first by groups, so that only a few groups' caches are held at a time.
    var waiting = Array(leave(0, first, asked[0], 0).reversed())
    while !waiting.isEmpty {
      if isCancelled() { throw .cancelled }
      let steps = Array(waiting.suffix(group).reversed())
      waiting.removeLast(steps.count)
      var caches = steps.map(\.parent)
      let rows = logits(
        forward(
          embed(steps.map { trie.nodes[$0.node].token }), lengths: Array(repeating: 1, count: steps.count),
          prefix: prefix, caches: &caches))
      for (row, step) in steps.enumerated().reversed() {
        waiting += leave(step.node, rows.row(row), caches[row], step.logProbability).reversed()
      }
    }
    return results
  }
}
