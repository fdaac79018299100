import Checkpoints
import Layers
import Tensors

/// Predicts masks from an image embedding and prompt embeddings. Source: `mask_decoder.py`, `MaskDecoder`.
///
/// Done in two steps, since the quality of a mask is known before the mask is drawn: `decode` runs the transformer and
/// the IoU head, `masks` upscales only what is wanted.
struct MaskDecoder: Sendable {
  let transformer: TwoWayTransformer
  /// `iou_token`, then `mask_tokens`, `[1 + n, C]`.
  let outputTokens: Tensor
  let upscale1: ConvTranspose2d
  let upscaleNorm: UpscaleNorm
  let upscale2: ConvTranspose2d
  /// `output_hypernetworks_mlps`, one a mask token.
  let hypernetworks: [MLP]
  let iouHead: MLP
  /// n: one mask for an unambiguous prompt, then the three of an ambiguous one.
  let maskTokens: Int
  let gridSize: Int

  /// The heads of SAM's decoder, which no tensor tells; every published SAM has eight.
  static let heads = 8

  init(_ scope: WeightScope, width: Int, gridSize: Int) throws(CheckpointError) {
    let form = DecoderForm(scope)
    transformer = try TwoWayTransformer(scope["transformer"], width: width, heads: Self.heads, form: form)
    let iouToken = try scope["iou_token"].tensor("weight", [1, width])
    let tokens = try scope["mask_tokens"].tensor("weight", [-1, width])
    maskTokens = tokens.shape[0]
    guard maskTokens >= 2, maskTokens <= 64 else {
      throw scope["mask_tokens"].malformed("weight", "holds \(maskTokens) tokens, at least 2 are needed")
    }
    outputTokens = Tensor.concatenated([iouToken, tokens])
    (upscale1, upscaleNorm, upscale2) = try form.upscaling(scope, width: width)
    let features = upscale2.outputs
    var hypernetworks: [MLP] = []
    for i in 0..<maskTokens {
      let mlp = scope["output_hypernetworks_mlps"][i]
      hypernetworks.append(try form.mlp(mlp, inputs: width, outputs: features))
    }
    self.hypernetworks = hypernetworks
    iouHead = try form.mlp(scope["iou_prediction_head"], inputs: width, outputs: maskTokens)
    self.gridSize = gridSize
  }

  /// Which mask tokens answer: the first alone, or the others.
  func tokens(multimask: Bool) -> Range<Int> { multimask ? 1..<maskTokens : 0..<1 }

  /// What the transformer made of one prompt.
  struct Decoded: Sendable {
    /// `[T, C]`
    let tokens: Tensor
    /// `[L, C]`
    let cells: Tensor
    /// The IoU that the model expects of each mask, `[n]`, not clamped.
    let iou: [Float]
  }

  /// - Parameters:
  ///   - sparse: the prompt's embeddings `[N, C]`.
  ///   - positions: of the image's cells, `[L, C]`.
  func decode(_ image: ImageSide, sparse: Tensor, positions: Tensor) -> Decoded {
    let tokens = Tensor.concatenated([outputTokens, sparse])
    let (hidden, cells) = transformer(tokens, image, positions: positions)
    return Decoded(tokens: hidden, cells: cells, iou: iouHead(hidden.rows(0..<1)).values)
  }

  /// The logits of some of a prompt's masks.
  ///
  /// - Returns: `[M, 4h, 4w]`, in the order of `tokens`.
  func masks(_ decoded: Decoded, tokens: [Int]) -> Tensor {
    let side = 4 * gridSize
    guard !tokens.isEmpty else { return Tensor([0, side, side]) }
    var x = upscaleNorm(upscale1(decoded.cells.reshaped([gridSize, gridSize, -1])))
    x.gelu()
    x = upscale2(x)
    x.gelu()
    let filters = Tensor.concatenated(
      tokens.map { hypernetworks[$0](decoded.tokens.rows(1 + $0..<2 + $0)) })  // [M, C/8]
    return filters.linear(x.reshaped([side * side, -1])).reshaped([tokens.count, side, side])
  }
}
