import Checkpoints
import Layers
import Tensors

/// What the decoder needs of one image, before any prompt has changed it: the same for all prompts without a mask.
struct ImageSide: Sendable {
  /// Embedding plus the dense prompt, `[L, C]`.
  let cells: Tensor
  /// Layer 0's keys, values and queries of the cells, `[L, d]`.
  let keys: Tensor
  let values: Tensor
  let queries: Tensor
}

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
    let located = cells + positions
    return ImageSide(
      cells: cells, keys: layers[0].tokensToImage.k(located), values: layers[0].tokensToImage.v(cells),
      queries: layers[0].imageToTokens.q(located))
  }

  /// - Parameters:
  ///   - tokens: `[T, C]`; they are their own positions.
  ///   - positions: of the image's cells, `[L, C]`.
  /// - Returns: tokens `[T, C]` and cells `[L, C]`.
  func callAsFunction(_ tokens: Tensor, _ image: ImageSide, positions: Tensor) -> (tokens: Tensor, cells: Tensor) {
    var (queries, cells) = (tokens, image.cells)
    for (i, layer) in layers.enumerated() {
      (queries, cells) = layer(
        queries, cells, tokenPositions: tokens, cellPositions: positions, prepared: i == 0 ? image : nil)
    }
    queries.add(finalAttention.tokensToImage(queries + tokens, keys: cells + positions, values: cells))
    return (finalNorm(queries), cells)
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

  /// - Parameter prepared: the image's projections of this layer, where they were made once for all prompts.
  func callAsFunction(
    _ tokens: Tensor, _ cells: Tensor, tokenPositions: Tensor, cellPositions: Tensor, prepared: ImageSide?
  ) -> (tokens: Tensor, cells: Tensor) {
    var queries = tokens
    switch form {
    case .sam where isFirst:
      // It replaces the tokens: no residual either.
      queries = selfAttention(queries: queries, keys: queries, values: queries)
    case .sam:
      let located = queries + tokenPositions
      queries.add(selfAttention(queries: located, keys: located, values: queries))
    case .efficientSAM:
      // The positions stay in the tokens: values and residual have them too.
      if !isFirst { queries.add(tokenPositions) }
      queries.add(selfAttention(queries: queries, keys: queries, values: queries))
    }
    queries = norm1(queries)

    let located = prepared == nil ? cells + cellPositions : cells
    let asked = queries + tokenPositions
    if let prepared {
      queries.add(tokensToImage.attend(tokensToImage.q(asked), prepared.keys, prepared.values))
    } else {
      queries.add(tokensToImage.tokensToImage(asked, keys: located, values: cells))
    }
    queries = norm2(queries)

    queries.add(mlp(queries))
    queries = norm3(queries)

    var updated = imageToTokens.imageToTokens(
      located, projected: prepared?.queries, keys: queries + tokenPositions, values: queries)
    updated.add(cells)
    return (queries, norm4(updated))
  }
}
