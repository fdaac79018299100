import Checkpoints
import Layers
import Tensors

/// Predicts masks from an image embedding and prompt embeddings. Source: `mask_decoder.py`, `MaskDecoder`.
///
/// Done in two steps, since the quality of a mask is known before the mask is drawn: `decode` runs the transformer and
/// the IoU head, `masks` upscales only what is wanted. HQ-SAM's decoder is this one with a `HighQualityHead`.
struct MaskDecoder: Sendable {
  let transformer: TwoWayTransformer
  /// `iou_token`, then `mask_tokens`, `[1 + n, C]`; in HQ-SAM `hf_token` after them.
  let outputTokens: Tensor
  /// `output_upscaling`; `final_output_upscaling_layers` in EfficientSAM
  let upscaling: Upscaling
  /// The same, where it can be done some cells at a time.
  private let blockUpscaling: BlockUpscaling?
  /// `output_hypernetworks_mlps`, one a mask token.
  let hypernetworks: [MLP]
  let iouHead: MLP
  /// n: one mask for an unambiguous prompt, then the three of an ambiguous one.
  let maskTokens: Int
  let gridSize: Int
  /// HQ-SAM's part, if the checkpoint has it.
  let highQuality: HighQualityHead?

  /// The heads of SAM's decoder, which no tensor tells; every published SAM has eight.
  static let heads = 8

  /// - Parameter earlyWidth: the channels of the image encoder's early features, if it has them.
  init(_ scope: WeightScope, width: Int, gridSize: Int, earlyWidth: Int?) throws(CheckpointError) {
    let form = DecoderForm(scope)
    transformer = try TwoWayTransformer(scope["transformer"], width: width, heads: Self.heads, form: form)
    let iouToken = try scope["iou_token"].tensor("weight", [1, width])
    let tokens = try scope["mask_tokens"].tensor("weight", [-1, width])
    maskTokens = tokens.shape[0]
    guard maskTokens >= 2, maskTokens <= 64 else {
      throw scope["mask_tokens"].malformed("weight", "holds \(maskTokens) tokens, at least 2 are needed")
    }
    upscaling = try form.upscaling(scope, inputs: width)
    blockUpscaling = BlockUpscaling(upscaling)
    var hypernetworks: [MLP] = []
    for i in 0..<maskTokens {
      let mlp = scope["output_hypernetworks_mlps"][i]
      hypernetworks.append(try form.mlp(mlp, inputs: width, outputs: upscaling.outputs))
    }
    self.hypernetworks = hypernetworks
    iouHead = try form.mlp(scope["iou_prediction_head"], inputs: width, outputs: maskTokens)
    self.gridSize = gridSize
    if HighQualityHead.isPart(of: scope) {
      guard let earlyWidth else {
        throw .unrecognised(
          path: scope.checkpoint.path, reason: "HQ-SAM's '\(scope.prefix)hf_token.weight' needs a ViT or a TinyViT")
      }
      highQuality = try HighQualityHead(
        scope, width: width, channels: upscaling.outputs, earlyWidth: earlyWidth)
    } else {
      highQuality = nil
    }
    outputTokens = Tensor.concatenated([iouToken, tokens] + (highQuality.map { [$0.token] } ?? []))
  }

  /// Which mask tokens answer: the first alone, or the others. HQ-SAM gives one mask in either case, refining of the
  /// others the one that it expects most of.
  ///
  /// - Parameter iou: of each mask token, `[n]`.
  func tokens(multimask: Bool, iou: [Float]) -> [Int] {
    guard multimask else { return [0] }
    guard highQuality != nil else { return Array(1..<maskTokens) }
    return [(1..<maskTokens).reduce(1) { iou[$1] > iou[$0] ? $1 : $0 }]
  }

  /// What the transformer made of one prompt.
  struct Decoded: Sendable {
    /// `[T, C]`
    let tokens: Tensor
    /// Blocks of `[N, C]`, L cells together.
    let cells: [Tensor]
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
  /// - Parameter fine: the picture's features for HQ-SAM, `[4h, 4w, C/8]`.
  /// - Returns: `[M, 4h, 4w]`, in the order of `tokens`.
  func masks(_ decoded: Decoded, tokens: [Int], fine: Tensor?) -> Tensor {
    let side = 4 * gridSize
    guard !tokens.isEmpty else { return Tensor([0, side, side]) }
    let filters = Tensor.concatenated(
      tokens.map { hypernetworks[$0](decoded.tokens.rows(1 + $0..<2 + $0)) })  // [M, C/8]
    if let blockUpscaling, fine == nil { return masks(decoded.cells, filters, blockUpscaling) }
    var x = upscaling(Tensor.concatenated(decoded.cells).reshaped([gridSize, gridSize, -1]))
    x.gelu()
    var logits = filters.linear(x.reshaped([side * side, -1]))
    if let highQuality, let fine {
      let token = decoded.tokens.rows(1 + maskTokens..<2 + maskTokens)
      logits.addRow(highQuality.logits(upscaled: x, features: fine, token: token))
    }
    return logits.reshaped([tokens.count, side, side])
  }

  private func masks(_ cells: [Tensor], _ filters: Tensor, _ upscaling: BlockUpscaling) -> Tensor {
    let (grid, side, count) = (gridSize, 4 * gridSize, filters.shape[0])
    let parts = ComputePool.map(cells.count) { upscaling.logits(cells[$0], filters: filters) }
    return Tensor([count, side, side]) { logits in
      var firstCell = 0
      for (block, finer) in zip(cells, parts) {
        let pixels = 4 * block.shape[0]
        for (place, part) in finer.enumerated() {
          part.withUnsafe { part in
            for mask in 0..<count {
              let (from, to) = (mask * pixels, mask * side * side)
              for pixel in 0..<pixels {
                let cell = firstCell + pixel / 4
                let y = 4 * (cell / grid) + 2 * (pixel % 4 / 2) + place / 2
                let x = 4 * (cell % grid) + 2 * (pixel % 2) + place % 2
                logits[to + y * side + x] = part[from + pixel]
              }
            }
          }
        }
        firstCell += block.shape[0]
      }
    }
  }
}
