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
    /// What became of `outputTokens`.
    let tokens: Tensor
    let cells: TwoWayTransformer.Cells
    let image: ImageSide
    /// The IoU that the model expects of each mask, `[n]`, not clamped.
    let iou: [Float]
  }

  /// What prompts need of an image. `cells`, `positions`: `[L, C]`, the cells with the dense prompt.
  func imageSide(cells: Tensor, positions: Tensor) -> ImageSide {
    Profile.layer("transformer.image_side") {
      transformer.imageSide(cells: cells, positions: positions, upscaling: upscaling.first.weight)
    }
  }

  /// Some prompts on one image.
  ///
  /// - Parameters:
  ///   - sparse: each prompt's embeddings `[N, C]`.
  ///   - positions: of the image's cells, `[L, C]`, and what they are to attentions.
  func decode(_ image: ImageSide, sparse: [Tensor], positions: Tensor, _ positionSide: PositionSide) -> [Decoded] {
    let prompts = sparse.map { Tensor.concatenated([outputTokens, $0]) }
    return Profile.layer("transformer") {
      transformer(prompts, read: outputTokens.shape[0], image, positionSide, positions: positions)
    }.map { result in
      let iou = ComputePool.alone { Profile.layer("iou_prediction_head") { iouHead(result.tokens.rows(0..<1)).values } }
      return Decoded(tokens: result.tokens, cells: result.cells, image: image, iou: iou)
    }
  }

  /// The logits of some of a prompt's masks.
  ///
  /// - Parameter fine: the picture's features for HQ-SAM, `[4h, 4w, C/8]`.
  /// - Returns: `[M, 4h, 4w]`, in the order of `tokens`.
  func masks(_ decoded: Decoded, tokens: [Int], fine: Tensor?) -> Tensor {
    let side = 4 * gridSize
    guard !tokens.isEmpty else { return Tensor([0, side, side]) }
    let filters = ComputePool.alone {
      Tensor.concatenated(
        tokens.map { i in
          Profile.layer("output_hypernetworks_mlps.\(i)") { hypernetworks[i](decoded.tokens.rows(1 + i..<2 + i)) }
        })  // [M, C/8]
    }
    let pixels = Profile.layer("output_upscaling") {
      UpscaledCells(decoded.cells, decoded.image, upscaling.first, beta: transformer.lastBeta)
    }
    if let blockUpscaling, fine == nil {
      let (strips, blocks) = (Strips(filters), CellBlock.ranges(gridSize * gridSize))
      return Tensor([tokens.count, side, side]) { logits in
        guard let base = logits.baseAddress else { return }
        Profile.layer("output_upscaling") {
          ComputePool.forEachAlone(blocks.count) { i in
            blockUpscaling.write(
              pixels, block: i, cells: blocks[i], filters: strips, grid: gridSize, to: base)
          }
        }
      }
    }
    var x = Profile.layer("output_upscaling") { upscaling.rest(pixels.map(gridSize: gridSize)) }
    x.gelu()
    var logits = filters.linear(x.reshaped([side * side, -1]))
    if let highQuality, let fine {
      let token = decoded.tokens.rows(1 + maskTokens..<2 + maskTokens)
      logits.addRow(highQuality.logits(upscaled: x, features: fine, token: token))
    }
    return logits.reshaped([tokens.count, side, side])
  }
}
