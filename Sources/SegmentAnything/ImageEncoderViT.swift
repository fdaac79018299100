import Checkpoints
import Layers
import Tensors

/// SAM's image encoder: a ViT with windowed and global attention. Source: `image_encoder.py`, `ImageEncoderViT`;
/// "Segment Anything", section 3 and appendix A.
package struct ImageEncoderViT: StagedImageEncoder {
  package let imageSize: Int
  package let gridSize: Int
  /// Patches of p×p pixels as one product. `patch_embed.proj`
  let patchEmbed: Conv2d
  /// `[g, g, C]`
  let positions: Tensor
  let blocks: [ViTBlock]
  /// How many blocks make early features: up to the first with global attention.
  let earlyDepth: Int
  let neck: Neck

  /// Every hyperparameter is read from shapes: widths and depth directly, the patch from `patch_embed.proj`, the input's
  /// size from `pos_embed`, heads and windows from the relative positions.
  init(_ scope: WeightScope, outputs: Int) throws(CheckpointError) {
    let patchShape = try scope["patch_embed"]["proj"].shape("weight")
    guard patchShape.count == 4, patchShape[1] == 3, patchShape[2] == patchShape[3], patchShape.allSatisfy({ $0 > 0 })
    else {
      throw .shapeMismatch(
        key: scope.prefix + "patch_embed.proj.weight", expected: [-1, 3, -1, -1], actual: patchShape)
    }
    let (width, patch) = (patchShape[0], patchShape[2])
    let stored = try scope.tensor("pos_embed", [1, -1, -1, width])
    let grid = stored.shape[1]
    guard grid > 0, stored.shape[2] == grid, grid <= EncoderLimits.imageSize / patch else {
      throw scope.malformed("pos_embed", "has shape \(stored.shape), not a square grid of at most 4096 pixels")
    }
    (imageSize, gridSize) = (grid * patch, grid)
    patchEmbed = try Conv2d(scope["patch_embed"]["proj"], inputs: 3, outputs: width, kernel: patch, stride: patch)
    positions = stored.reshaped([grid, grid, width])
    let depth = scope["blocks"].listCount()
    var blocks: [ViTBlock] = []
    for i in 0..<depth { blocks.append(try ViTBlock(scope["blocks"][i], width: width, grid: grid)) }
    self.blocks = blocks
    earlyDepth = (blocks.firstIndex { $0.attention.window == nil } ?? depth - 1) + 1
    neck = try Neck(scope["neck"], inputs: width, outputs: outputs)
  }

  package var earlyWidth: Int { patchEmbed.outputs }

  package func early(_ input: Tensor) -> Tensor {
    var x = Profile.layer("patch_embed") { patchEmbed(input) }
    x.add(positions)
    for i in 0..<earlyDepth { Profile.layer("blocks.\(i)") { blocks[i](&x) } }
    return x
  }

  package func late(_ early: Tensor) -> Tensor {
    var x = early
    for i in earlyDepth..<blocks.count { Profile.layer("blocks.\(i)") { blocks[i](&x) } }
    return Profile.layer("neck") { neck(x) }
  }
}

/// One transformer block. Source: `image_encoder.py`, `Block`.
struct ViTBlock: Sendable {
  let norm1: LayerNorm
  let attention: ViTAttention
  let norm2: LayerNorm
  /// `mlp.lin1`, `mlp.lin2`
  let mlp: FeedForward

  init(_ scope: WeightScope, width: Int, grid: Int) throws(CheckpointError) {
    norm1 = try LayerNorm(scope["norm1"], channels: width, epsilon: 1e-6)
    attention = try ViTAttention(scope["attn"], width: width, grid: grid)
    norm2 = try LayerNorm(scope["norm2"], channels: width, epsilon: 1e-6)
    let widen = try Linear(scope["mlp"]["lin1"], inputs: width)
    mlp = FeedForward(
      widen: widen, narrow: try Linear(scope["mlp"]["lin2"], inputs: widen.outputs, outputs: width))
  }

  /// `[g, g, C]`, in place.
  func callAsFunction(_ x: inout Tensor) {
    Profile.layer("attn") { attend(&x) }
    Profile.layer("mlp") { mlp(norm2(x), addingTo: &x) }
  }

  private func attend(_ x: inout Tensor) {
    if let window = attention.window {
      x.addToWindows(of: window) { attention(norm1($0)) }
    } else {
      let (height, width, channels) = (x.shape[0], x.shape[1], x.shape[2])
      x.add(attention(norm1(x).reshaped([1, height, width, channels])).reshaped(x.shape))
    }
  }
}

/// Multi-head attention with decomposed relative positions, over windows or the whole grid. Source: `image_encoder.py`,
/// `Attention` and `add_decomposed_rel_pos`.
struct ViTAttention: Sendable {
  /// `qkv` is packed `[3, heads, d]`; its thirds are views of the same memory.
  let q: Linear
  let k: Linear
  let v: Linear
  let output: Linear
  /// `rel_pos_h`, `rel_pos_w`
  let positions: RelativePositions
  let heads: Int
  let scale: Float
  /// The window's side, or nil where attention is global.
  let window: Int?
  let precision: Precision
  let scorePrecision: Precision

  init(_ scope: WeightScope, width: Int, grid: Int) throws(CheckpointError) {
    (precision, scorePrecision) = (scope.precision.beyondLinear, scope.precision)
    let rows = try scope.tensor("rel_pos_h", [-1, -1])
    let (length, headWidth) = (rows.shape[0], rows.shape[1])
    let columns = try scope.tensor("rel_pos_w", [length, headWidth])
    guard headWidth > 0, width % headWidth == 0 else {
      throw scope.malformed("rel_pos_h", "has shape \(rows.shape), but \(headWidth) does not divide width \(width)")
    }
    heads = width / headWidth
    let side = (length + 1) / 2
    guard length % 2 == 1, side == grid || side <= EncoderLimits.window else {
      throw scope.malformed("rel_pos_h", "has length \(length), which fits no window and no grid of side \(grid)")
    }
    window = side == grid ? nil : side
    let qkv = try Linear(scope["qkv"].computing(in: .fp32), inputs: width, outputs: 3 * width)
    func third(_ i: Int) -> Linear {
      let rows = i * width..<(i + 1) * width
      return Linear(weight: qkv.weight.rows(rows), bias: qkv.bias?.rows(rows), precision: scope.precision).packed()
    }
    (q, k, v) = (third(0), third(1), third(2))
    output = try Linear(scope["proj"], inputs: width, outputs: width).packed()
    scale = 1 / Float(headWidth).squareRoot()
    positions = RelativePositions(rows: rows, columns: columns, scale: scale, precision: precision)
  }

  /// `softmax(q kᵀ/√d + rows + columns) v` among the tokens of each batch entry, `[n, h, w, C]` → `[n·h·w, C]`. A window that is
  /// cut is attended to with its padding: tokens of zeros, of which biases are left.
  func callAsFunction(_ tokens: Tensor) -> Tensor {
    let (batch, height, width, channels) = (tokens.shape[0], tokens.shape[1], tokens.shape[2], tokens.shape[3])
    let side = positions.side
    func seen(_ projected: Linear) -> Tensor {
      projected(tokens).padded(to: side, with: projected.bias).reshaped([batch, side * side, channels])
    }
    return output(
      Tensor.attention(
        queries: q(tokens).reshaped([batch, height * width, channels]), keys: seen(k), values: seen(v), heads: heads,
        scale: scale, bias: .relative(positions.cut(to: width)), precision: precision, scorePrecision: scorePrecision))
  }
}
