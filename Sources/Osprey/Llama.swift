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
}
