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
    var layers: [TwoWayAttentionBlock] = []
    for i in 0..<depth {
      layers.append(
        try TwoWayAttentionBlock(scope["layers"][i], width: width, heads: heads, isFirst: i == 0, form: form))
    }
    self.layers = layers
    finalAttention = try TwoWayAttention(scope["final_attn_token_to_image"], width: width, heads: heads)
    finalNorm = try LayerNorm(scope["norm_final_attn"], channels: width, epsilon: 1e-5)
  }

  /// - Parameters:
  ///   - cells: image embedding plus dense prompt, `[L, C]`.
  ///   - positions: of the cells, `[L, C]`.
  func imageSide(cells: Tensor, positions: Tensor) -> ImageSide {
    let (toImage, toTokens) = (layers[0].tokensToImage, layers[0].imageToTokens)
    let located = cells + positions
    let (keys, values, queries) = (toImage.k(located), toImage.v(cells), toTokens.q(located))
    let blocks = CellBlock.ranges(cells.shape[0]).map { range in
      ImageSide.Block(
        cells: cells.rows(range), keys: PackedMatrix(transposing: keys.rows(range), .fp32),
        values: PackedMatrix(values.rows(range), .fp32),
        queries: PackedMatrix(transposing: queries.rows(range), .fp32))
    }
    return ImageSide(blocks: blocks, count: cells.count + keys.count + values.count + queries.count)
  }

  /// The cells are gone through once a layer, block by block: the last layer's update of a block, and what this layer's
  /// tokens see in it, are worked out while it is in the cache.
  ///
  /// - Parameters:
  ///   - tokens: `[T, C]`; they are their own positions.
  ///   - positions: of the image's cells, `[L, C]`.
  /// - Returns: tokens `[T, C]`, and cells in blocks `[N, C]`.
  func callAsFunction(_ tokens: Tensor, _ image: ImageSide, positions: Tensor) -> (tokens: Tensor, cells: [Tensor]) {
    var queries = tokens
    var blocks: [CellBlock] = []
    var update: (attention: TwoWayAttention.Update, norm: LayerNorm)?
    func see(_ attention: TwoWayAttention) -> Tensor {
      let question = attention.question(queries + tokens, projected: update == nil)
      guard let update else {
        let seen = ComputePool.map(image.blocks.count) {
          Glimpse(question, keys: image.blocks[$0].keys, values: image.blocks[$0].values)
        }
        return attention.answer(Glimpse.joined(seen), projected: true)
      }
      let ranges = CellBlock.ranges(positions.shape[0])
      let passed = ComputePool.map(ranges.count) { i in
        let previous =
          blocks.isEmpty
          ? (image.blocks[i].cells, image.blocks[i].queries) : (blocks[i].cells, blocks[i].located)
        let cells = update.norm(update.attention(previous.0, queries: previous.1))
        let located = PackedMatrix(transposing: cells + positions.rows(ranges[i]), .fp32)
        let seen = Glimpse(question, keys: located, values: PackedMatrix(cells, .fp32))
        return (block: CellBlock(cells: cells, located: located), seen: seen)
      }
      blocks = passed.map(\.block)
      return attention.answer(Glimpse.joined(passed.map(\.seen)), projected: false)
    }
    for (i, layer) in layers.enumerated() {
      queries = layer.attendToItself(queries, positions: tokens)
      queries.add(see(layer.tokensToImage))
      queries = layer.norm2(queries)
      queries.add(layer.mlp(queries))
      queries = layer.norm3(queries)
      update = (
        layer.imageToTokens.update(keys: queries + tokens, values: queries, projected: i == 0), layer.norm4
      )
    }
    queries.add(see(finalAttention))
    return (finalNorm(queries), blocks.map(\.cells))
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
