import Tensors

/// What became of one prompt.
struct Generation: Sendable {
  /// Without the end token.
  var ids: [Int] = []
  /// The natural logarithms of the probabilities of `ids` and, if there was one, the end token.
  var logProbabilities: [Double] = []
  var isFinished = false
  /// `[V]`: what the first token was chosen from.
  var firstLogits: Tensor?
}

/// A sequence on its way through the decoder: its prompt's rows first, a stretch at a time, then word by word. Its caller
/// has it before and after, in between only the thread that drives the decoder.
final class DecodingSequence: @unchecked Sendable {
  /// `[L, D]`, L ≥ 1.
  let prompt: Tensor
  let prefix: Llama.Prefix?
  /// The most tokens of the answer; 0 fills the cache only. The model's context may end it earlier.
  let maxTokens: Int
  /// What its caller knows it by.
  let index: Int
  /// Tells the callers' sequences apart; set when it is handed over.
  var caller: Decoder.Caller?
  /// Told by the caller that nobody waits for it any more.
  var isWithdrawn = false

  private(set) var cache: KeyValueCache
  private(set) var generation = Generation()
  private var chooser: Chooser
  private var rowsDone = 0
  private var isEnded = false

  init(
    _ llama: Llama, prompt: Tensor, prefix: Llama.Prefix?, maxTokens: Int, sampling: Sampling? = nil, index: Int = 0
  ) {
    precondition(prompt.shape[0] > 0)
    (self.prompt, self.prefix, self.maxTokens, self.index) = (prompt, prefix, maxTokens, index)
    chooser = Chooser(sampling)
    cache = llama.emptyCache(capacity: prompt.shape[0] + min(maxTokens, 64))
  }

  /// The positions that it may come to hold itself.
  func greatestCount(context: Int) -> Int {
    min(prompt.shape[0] + maxTokens, max(context - (prefix?.count ?? 0), prompt.shape[0]))
  }

  var isPrompting: Bool { rowsDone < prompt.shape[0] }
  var isDone: Bool { isEnded }
  /// The token that it goes on with.
  var newest: Int? { isPrompting ? nil : generation.ids.last }

  var rowsLeft: Int { prompt.shape[0] - rowsDone }

  /// The next rows of the prompt, at most `limit`.
  func nextRows(limit: Int) -> Tensor { prompt.rows(rowsDone..<rowsDone + min(limit, rowsLeft)) }

  /// Gives its cache away for a step, so that there is one owner who writes to it in place.
  func lendCache() -> KeyValueCache {
    defer { cache = .none }
    return cache
  }

  /// What a step brought: the cache with `rows` more rows and, behind the prompt's last row or a word, logits `[V]`.
  func take(_ grown: KeyValueCache, rows: Int, logits: Tensor?, _ configuration: LlamaConfiguration) {
    cache = grown
    if isPrompting { rowsDone += rows }
    guard let logits else {
      isEnded = !isPrompting
      return
    }
    if generation.logProbabilities.isEmpty { generation.firstLogits = logits }
    let (id, logProbability) = chooser.choose(logits, among: configuration.vocabularySize)
    generation.logProbabilities.append(logProbability)
    if configuration.endIds.contains(id) {
      (generation.isFinished, isEnded) = (true, true)
      return
    }
    generation.ids.append(id)
    let isFull = (prefix?.count ?? 0) + cache.count >= configuration.context
    isEnded = isFull || generation.ids.count >= maxTokens
  }
}
