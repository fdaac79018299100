import Checkpoints
import Layers
import Tensors

// LLaMA (Touvron et al., 2023) over embeddings, with Hugging Face's tensor names.

/// One decoder layer.
struct LlamaLayer: Sendable {
  let inputNorm: Tensor
  let query: StoredLinear
  let key: StoredLinear
  let value: StoredLinear
  let output: StoredLinear
  let attentionNorm: Tensor
  let gate: StoredLinear
  let up: StoredLinear
  let down: StoredLinear

  /// - Parameter scope: `model.layers.i`
  init(_ scope: WeightScope, _ c: LlamaConfiguration) throws(CheckpointError) {
    func linear(_ scope: WeightScope, _ inputs: Int, _ outputs: Int) throws(CheckpointError) -> StoredLinear {
      try StoredLinear(scope, inputs: inputs, outputs: outputs)
    }
    let attention = scope["self_attn"]
    inputNorm = try scope.tensor("input_layernorm.weight", [c.hiddenSize])
    query = try linear(attention["q_proj"], c.hiddenSize, c.heads * c.headSize)
    key = try linear(attention["k_proj"], c.hiddenSize, c.keyValueHeads * c.headSize)
    value = try linear(attention["v_proj"], c.hiddenSize, c.keyValueHeads * c.headSize)
    output = try linear(attention["o_proj"], c.heads * c.headSize, c.hiddenSize)
    attentionNorm = try scope.tensor("post_attention_layernorm.weight", [c.hiddenSize])
    gate = try linear(scope["mlp"]["gate_proj"], c.hiddenSize, c.intermediateSize)
    up = try linear(scope["mlp"]["up_proj"], c.hiddenSize, c.intermediateSize)
    down = try linear(scope["mlp"]["down_proj"], c.intermediateSize, c.hiddenSize)
  }
}

/// The language model.
public struct Llama: Sendable {
  public let configuration: LlamaConfiguration
  /// `[V, D]`
  let embeddings: WeightMatrix
  let layers: [LlamaLayer]
  let norm: Tensor
  /// `[V, D]`
  let head: WeightMatrix
  let rotary: RotaryEmbedding

  /// - Parameter scope: the root, where `model.layers…` and `lm_head` lie.
  init(_ scope: WeightScope, _ configuration: LlamaConfiguration) throws(CheckpointError) {
    self.configuration = configuration
    let model = scope["model"]
    // Some checkpoints carry rows for `<mask>` and `<pos>` beyond `vocab_size`; nothing reads them.
    embeddings = try model.matrix("embed_tokens.weight", [-1, configuration.hiddenSize])
    guard embeddings.rows >= configuration.vocabularySize else {
      throw .shapeMismatch(
        key: model.prefix + "embed_tokens.weight", expected: [configuration.vocabularySize, configuration.hiddenSize],
        actual: [embeddings.rows, embeddings.columns])
    }
    var layers: [LlamaLayer] = []
    for i in 0..<configuration.layers { layers.append(try LlamaLayer(model["layers"][i], configuration)) }
    self.layers = layers
    norm = try model.tensor("norm.weight", [configuration.hiddenSize])
    let isTied = configuration.tiesWordEmbeddings || !scope.has("lm_head.weight")
    head = isTied ? embeddings : try scope.matrix("lm_head.weight", [-1, configuration.hiddenSize])
    rotary = RotaryEmbedding(configuration)
  }

  /// The vectors of token ids. `[n]` → `[n, D]`.
  func embed(_ ids: [Int]) -> Tensor { embeddings.dequantized(rows: ids) }

  /// `[n, D]` → `[n, V]`.
  func logits(_ hidden: Tensor) -> Tensor {
    hidden.rmsNormalized(weight: norm, epsilon: configuration.rmsNormEpsilon).linear(head)
  }

  func emptyCache(capacity: Int) -> KeyValueCache {
    KeyValueCache(
      layers: layers.count, width: configuration.keyValueHeads * configuration.headSize, capacity: capacity)
  }

  /// Runs the newest tokens of several sequences that all continue one prefix. Every weight is read once for all.
  ///
  /// - Parameters:
  ///   - x: `[Σ lengths, D]`, sequence after sequence.
  ///   - lengths: how many rows each sequence has.
  ///   - prefix: shared, and how much of it counts; none for the prefix itself.
  ///   - caches: what each sequence has behind the prefix; grows by its rows.
  /// - Returns: the hidden states before the last norm, `[Σ lengths, D]`.
  func forward(
    _ x: Tensor, lengths: [Int], prefix: (cache: KeyValueCache, count: Int)?, caches: inout [KeyValueCache]
  ) -> Tensor {
    let c = configuration
    precondition(lengths.count == caches.count && x.shape[0] == lengths.reduce(0, +))
    let start = prefix?.count ?? 0
    var positions: [Int] = []
    for (length, cache) in zip(lengths, caches) { positions += (0..<length).map { start + cache.count + $0 } }
    let (cosines, sines) = rotary.angles(positions)
    let scale = 1 / Float(c.headSize).squareRoot()

    var x = x
    for (i, layer) in layers.enumerated() {
      let normalized = x.rmsNormalized(weight: layer.inputNorm, epsilon: c.rmsNormEpsilon)
      var (queries, keys) = (layer.query(normalized), layer.key(normalized))
      let values = layer.value(normalized)
      queries.rotate(cosines: cosines, sines: sines, heads: c.heads, pairing: c.ropePairing)
      keys.rotate(cosines: cosines, sines: sines, heads: c.keyValueHeads, pairing: c.ropePairing)
      var (attended, row) = ([Tensor](), 0)
      for (s, length) in lengths.enumerated() {
        let rows = row..<row + length
        caches[s].write(keys.rows(rows), values.rows(rows), layer: i)
        var segments = prefix.map { [$0.cache.segment(layer: i, limit: $0.count)] } ?? []
        segments.append(caches[s].segment(layer: i, pending: length))
        attended.append(
          Tensor.causalAttention(
            queries: queries.rows(rows), segments: segments, heads: c.heads, keyHeads: c.keyValueHeads, scale: scale))
        row += length
      }
      x.add(layer.output(attended.count == 1 ? attended[0] : .concatenated(attended)))
      let inner = x.rmsNormalized(weight: layer.attentionNorm, epsilon: c.rmsNormEpsilon)
      var hidden = layer.gate(inner)
      hidden.siluMultiply(layer.up(inner))
      x.add(layer.down(hidden))
    }
    for (s, length) in lengths.enumerated() { caches[s].advance(by: length) }
    return x
  }
}
