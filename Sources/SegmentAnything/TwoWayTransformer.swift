import Checkpoints
import Layers
import Tensors

/// Tokens and image update each other. Source: `transformer.py`, `TwoWayTransformer`.
struct TwoWayTransformer: Sendable {
  let layers: [TwoWayAttentionBlock]
  let finalAttention: TwoWayAttention
  let finalNorm: LayerNorm

  init(_ scope: WeightScope, width: Int, heads: Int, form: DecoderForm) throws(CheckpointError) {
    let depth = scope["layers"].listCount()
    guard depth > 0 else { throw scope["layers"].malformed("0", "is missing: a transformer has layers") }
    var layers: [TwoWayAttentionBlock] = []
    for i in 0..<depth {
      layers.append(
        try TwoWayAttentionBlock(scope["layers"][i], width: width, heads: heads, isFirst: i == 0, form: form))
    }
    self.layers = layers
    finalAttention = try TwoWayAttention(scope["final_attn_token_to_image"], width: width, heads: heads)
    finalNorm = try LayerNorm(scope["norm_final_attn"], channels: width, epsilon: 1e-5)
  }

  /// β of the norm after the last update, `[C]`.
  var lastBeta: Tensor { layers[layers.count - 1].norm4.bias }

  /// What becomes of one prompt's tokens and cells.
  struct Result: Sendable {
    /// Those that are read, `[R, C]`.
    let tokens: Tensor
    let cells: Cells
  }

  /// Cells after the last update, in blocks.
  enum Cells: Sendable {
    /// In the prompt's basis, whose R is `[J, C]`.
    case inBasis([CellState], rows: Tensor)
    /// As they are, `[N, C]`.
    case plain([Tensor])
  }

  /// Up to how many tokens a prompt's cells are in its basis. It grows by a row for each head and token with each update; what is
  /// saved by it is lost where it has more rows than cells have channels.
  private var shortest: Int { finalAttention.q.inputs / finalAttention.heads }

  /// Each of some prompts on one image: they go through it together, so that of the image each block is read once for all of them.
  ///
  /// - Parameters:
  ///   - prompts: the tokens of each, `[T, C]`; they are their own positions.
  ///   - read: how many of the tokens, from the first on, anybody will read: no others look at the image at last.
  ///   - positions: of the image's cells, for prompts of many tokens.
  func callAsFunction(
    _ prompts: [Tensor], read: Int, _ image: ImageSide, _ positionSide: PositionSide, positions: Tensor
  ) -> [Result] {
    let short = prompts.indices.filter { prompts[$0].shape[0] <= shortest }
    var results = [Result?](repeating: nil, count: prompts.count)
    for (i, result) in zip(short, inBasis(short.map { prompts[$0] }, read: read, image, positionSide)) {
      results[i] = result
    }
    return prompts.indices.map { results[$0] ?? plain(prompts[$0], read: read, image, positions: positions) }
  }

  /// One prompt on its way through the layers.
  private struct Passage {
    let tokens: Tensor
    var queries: Tensor
    var basis = CellBasis()
    var question: CellBasis.Question
    var update: CellBasis.Update?
    var cells: [CellState] = []
  }

  /// Each stage is gone through block by block: the last update of a block, and what the next attention's tokens see in it,
  /// while it is in the cache.
  func inBasis(
    _ prompts: [Tensor], read: Int, _ image: ImageSide, _ positions: PositionSide
  ) -> [Result] {
    guard !prompts.isEmpty else { return [] }
    let heads = finalAttention.heads
    /// What tokens ask of the cells at a stage, and what has become of them by then.
    func ask(
      _ queries: Tensor, _ tokens: Tensor, _ basis: CellBasis, _ stage: Int
    ) -> (queries: Tensor, question: CellBasis.Question) {
      let queries = stage < layers.count ? attended(stage, queries, tokens) : queries.rows(0..<read)
      let question = Profile.layer(looks(at: stage)) {
        basis.question(queries + tokens.rows(0..<queries.shape[0]), of: looking(at: stage))
      }
      return (queries, question)
    }
    /// The tokens' side is many small steps: a thread a prompt.
    func forEach<T>(_ transform: (Int) -> T) -> [T] {
      ComputePool.map(prompts.count) { i in ComputePool.alone { transform(i) } }
    }
    var passages = forEach { i in
      let (queries, question) = ask(prompts[i], prompts[i], CellBasis(), 0)
      return Passage(tokens: prompts[i], queries: queries, question: question)
    }
    for stage in 0...layers.count {
      let now = passages
      let blocks = ComputePool.map(image.blocks.count) { i in
        now.map { passage in
          let (block, positions) = (image.blocks[i], positions.blocks[i])
          var state = passage.cells.isEmpty ? nil : passage.cells[i]
          if let update = passage.update {
            state = Profile.layer(updating(before: stage)) {
              block.updated(by: update, state, stage: stage - 1, positions)
            }
          }
          return (
            state,
            Profile.layer(looks(at: stage)) {
              block.seen(passage.question, heads: heads, state, stage: stage, positions)
            }
          )
        }
      }
      passages = forEach { i in
        var passage = now[i]
        passage.cells = blocks.compactMap { $0[i].0 }
        let mixed = Glimpse.joined(blocks.map { $0[i].1 })
        let beta = stage > 0 ? layers[stage - 1].norm4.bias : nil
        let answer = Profile.layer(looks(at: stage)) {
          passage.basis.answer(mixed, of: looking(at: stage), beta: beta)
        }
        passage.queries.add(answer)
        return passage
      }
      guard stage < layers.count else { break }
      let layer = layers[stage]
      // Its weights are most of what the tokens' side reads: once for all prompts.
      let after = Profile.layer("layers.\(stage).mlp") {
        let tokens = layer.norm2(Tensor.concatenated(passages.map(\.queries)))
        return layer.norm3(tokens + layer.mlp(tokens))
      }
      let ends = passages.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.tokens.shape[0]) }
      let answered = passages
      passages = forEach { i in
        var passage = answered[i]
        passage.queries = after.rows(ends[i]..<ends[i + 1])
        passage.update = Profile.layer(updating(before: stage + 1)) {
          passage.basis.update(
            keys: passage.queries + passage.tokens, values: passage.queries, by: layer.imageToTokens,
            constant: constant(of: stage), norm: layer.norm4)
        }
        (passage.queries, passage.question) = ask(passage.queries, passage.tokens, passage.basis, stage + 1)
        return passage
      }
    }
    return passages.map { passage in
      guard let rows = passage.basis.rows else { preconditionFailure("a transformer without layers") }
      return Result(tokens: finalNorm(passage.queries), cells: .inBasis(passage.cells, rows: rows))
    }
  }

  /// Where tokens look at the image at a stage, and where the update is that was before it, as the checkpoint names them.
  private func looks(at stage: Int) -> String {
    stage < layers.count ? "layers.\(stage).cross_attn_token_to_image" : "final_attn_token_to_image"
  }

  private func updating(before stage: Int) -> String { "layers.\(stage - 1).cross_attn_image_to_token" }

  private func attended(_ layer: Int, _ tokens: Tensor, _ positions: Tensor) -> Tensor {
    Profile.layer("layers.\(layer).self_attn") { layers[layer].attendToItself(tokens, positions: positions) }
  }

  /// The same with each cell's own numbers: for prompts of many tokens.
  func plain(_ tokens: Tensor, read: Int, _ image: ImageSide, positions: Tensor) -> Result {
    let ranges = CellBlock.ranges(positions.shape[0])
    var queries = tokens
    var blocks = ComputePool.map(ranges.count) { i in
      CellBlock(image.cells.rows(ranges[i]), positions.rows(ranges[i]))
    }
    var update: (attention: TwoWayAttention.Update, norm: LayerNorm)?
    func see(at stage: Int) -> Tensor {
      let attention = looking(at: stage)
      let question = Profile.layer(looks(at: stage)) {
        attention.question(queries + tokens.rows(0..<queries.shape[0]))
      }
      let passed = ComputePool.map(ranges.count) { i in
        var block = blocks[i]
        if let update {
          block = Profile.layer(updating(before: stage)) {
            CellBlock(update.norm(update.attention(block.cells, queries: block.located)), positions.rows(ranges[i]))
          }
        }
        let seen = Profile.layer(looks(at: stage)) {
          Glimpse(question, keys: block.located, values: PackedMatrix(block.cells, .fp32))
        }
        return (block: block, seen: seen)
      }
      blocks = passed.map(\.block)
      return Profile.layer(looks(at: stage)) { attention.answer(Glimpse.joined(passed.map(\.seen))) }
    }
    for (stage, layer) in layers.enumerated() {
      queries = attended(stage, queries, tokens)
      queries.add(see(at: stage))
      queries = Profile.layer("layers.\(stage).mlp") {
        var tokens = layer.norm2(queries)
        tokens.add(layer.mlp(tokens))
        return layer.norm3(tokens)
      }
      update = Profile.layer(updating(before: stage + 1)) {
        (layer.imageToTokens.update(keys: queries + tokens, values: queries), layer.norm4)
      }
    }
    queries = queries.rows(0..<read)
    queries.add(see(at: layers.count))
    return Result(tokens: finalNorm(queries), cells: .plain(blocks.map(\.cells)))
  }
}

/// Self-attention of the tokens, tokens to image, an MLP, image to tokens. Source: `transformer.py`,
/// `TwoWayAttentionBlock`.
struct TwoWayAttentionBlock: Sendable {
  let selfAttention: TwoWayAttention
  let norm1: LayerNorm
  let tokensToImage: TwoWayAttention
  let norm2: LayerNorm
  let mlp: MLP
  let norm3: LayerNorm
  let imageToTokens: TwoWayAttention
  let norm4: LayerNorm
  /// The first block's self-attention has no positions.
  let isFirst: Bool
  let form: DecoderForm

  init(_ scope: WeightScope, width: Int, heads: Int, isFirst: Bool, form: DecoderForm) throws(CheckpointError) {
    selfAttention = try TwoWayAttention(scope["self_attn"], width: width, heads: heads)
    norm1 = try LayerNorm(scope["norm1"], channels: width, epsilon: 1e-5)
    tokensToImage = try TwoWayAttention(scope["cross_attn_token_to_image"], width: width, heads: heads)
    norm2 = try LayerNorm(scope["norm2"], channels: width, epsilon: 1e-5)
    mlp = try form.blockMLP(scope["mlp"], width: width)
    norm3 = try LayerNorm(scope["norm3"], channels: width, epsilon: 1e-5)
    imageToTokens = try TwoWayAttention(scope["cross_attn_image_to_token"], width: width, heads: heads)
    norm4 = try LayerNorm(scope["norm4"], channels: width, epsilon: 1e-5)
    (self.isFirst, self.form) = (isFirst, form)
  }

  /// The tokens after their self-attention.
  func attendToItself(_ tokens: Tensor, positions: Tensor) -> Tensor {
    var queries = tokens
    switch form {
    case .sam where isFirst:
      // It replaces the tokens: no residual either.
      queries = selfAttention(queries: queries, keys: queries, values: queries)
    case .sam:
      let located = queries + positions
      queries.add(selfAttention(queries: located, keys: located, values: queries))
    case .efficientSAM:
      // The positions stay in the tokens: values and residual have them too.
      if !isFirst { queries.add(positions) }
      queries.add(selfAttention(queries: queries, keys: queries, values: queries))
    }
    return norm1(queries)
  }
}
