import Checkpoints
import Layers
import Tensors

/// EfficientSAM's image encoder: a ViT whose every token attends to every other, with learned positions from its
/// pretraining. Source: `efficient_sam_encoder.py`, `ImageEncoderViT`; "EfficientSAM" (Xiong et al., 2023), section 3.
package struct PlainViT: ImageEncoder {
  package let imageSize: Int
  package let gridSize: Int
  package var fit: ImageFit { .stretched }
  /// Patches of p×p pixels as one product. `patch_embed.proj`
  let patchEmbed: Conv2d
  /// `[g, g, C]`
  let positions: Tensor
  let blocks: [PlainViTBlock]
  let neck: Neck

  /// Channels of one head, which no tensor tells; both published models have 64.
  static let headWidth = 64

  /// Whether a checkpoint's positions are this encoder's: a list of them, where SAM's ViT has a grid.
  static func recognises(_ scope: WeightScope) -> Bool {
    scope.checkpoint.shape(of: scope.prefix + "pos_embed")?.count == 3
  }

  /// - Parameter imageSize: of the square input; no tensor tells it.
  init(_ scope: WeightScope, imageSize: Int, outputs: Int) throws(CheckpointError) {
    let patches = scope["patch_embed"]["proj"]
    let shape = try patches.shape("weight")
    guard shape.count == 4, shape[1] == 3, shape[2] == shape[3], shape.allSatisfy({ $0 > 0 }) else {
      throw .shapeMismatch(key: patches.prefix + "weight", expected: [-1, 3, -1, -1], actual: shape)
    }
    let (width, patch) = (shape[0], shape[2])
    guard imageSize % patch == 0, imageSize / patch <= EncoderLimits.imageSize / 16 else {
      throw patches.malformed("weight", "has shape \(shape), whose patches do not fit an input of \(imageSize) pixels")
    }
    guard width % Self.headWidth == 0 else {
      throw patches.malformed("weight", "has shape \(shape), but \(Self.headWidth) does not divide width \(width)")
    }
    let grid = imageSize / patch
    (self.imageSize, gridSize) = (imageSize, grid)
    patchEmbed = try Conv2d(patches, inputs: 3, outputs: width, kernel: patch, stride: patch)
    positions = try Self.positions(scope, width: width).resizedBicubic(height: grid, width: grid)
    let depth = scope["blocks"].listCount()
    var blocks: [PlainViTBlock] = []
    for i in 0..<depth { blocks.append(try PlainViTBlock(scope["blocks"][i], width: width)) }
    self.blocks = blocks
    neck = try Neck(scope["neck"], inputs: width, outputs: outputs)
  }

  /// `pos_embed` `[1, 1 + s², C]`, less the class token that pretraining had, as a grid: `[s, s, C]`.
  private static func positions(_ scope: WeightScope, width: Int) throws(CheckpointError) -> Tensor {
    let stored = try scope.tensor("pos_embed", [1, -1, width])
    let count = stored.shape[1] - 1
    let side = Int(Double(count).squareRoot().rounded())
    guard side > 0, side * side == count else {
      throw scope.malformed("pos_embed", "has shape \(stored.shape), not a class token and a square grid")
    }
    return stored.row(0).rows(1..<1 + count).reshaped([side, side, width])
  }

  package func callAsFunction(_ input: Tensor) -> Tensor {
    var x = Profile.layer("patch_embed") { patchEmbed(input) }
    x.add(positions)
    for i in blocks.indices { Profile.layer("blocks.\(i)") { blocks[i](&x) } }
    return Profile.layer("neck") { neck(x) }
  }
}

/// One transformer block. Source: `efficient_sam_encoder.py`, `Block`.
struct PlainViTBlock: Sendable {
  let norm1: LayerNorm
  let attention: PlainViTAttention
  let norm2: LayerNorm
  /// `mlp.fc1`, `mlp.fc2`
  let mlp: FeedForward

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    norm1 = try LayerNorm(scope["norm1"], channels: width, epsilon: 1e-6)
    attention = try PlainViTAttention(scope["attn"], width: width)
    norm2 = try LayerNorm(scope["norm2"], channels: width, epsilon: 1e-6)
    let widen = try Linear(scope["mlp"]["fc1"], inputs: width)
    mlp = FeedForward(
      widen: widen, narrow: try Linear(scope["mlp"]["fc2"], inputs: widen.outputs, outputs: width))
  }

  /// `[g, g, C]`, in place.
  func callAsFunction(_ x: inout Tensor) {
    Profile.layer("attn") { x.add(attention(norm1(x))) }
    Profile.layer("mlp") { mlp(norm2(x), addingTo: &x) }
  }
}

/// Multi-head attention of all tokens to all. Source: `efficient_sam_encoder.py`, `Attention`.
struct PlainViTAttention: Sendable {
  /// `qkv` is packed `[3, heads, d]`; its thirds are views of the same memory.
  let q: Linear
  let k: Linear
  let v: Linear
  let output: Linear
  let precision: Precision

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    precision = scope.precision.beyondLinear
    let qkv = try Linear(scope["qkv"].computing(in: .fp32), inputs: width, outputs: 3 * width)
    func third(_ i: Int) -> Linear {
      let rows = i * width..<(i + 1) * width
      return Linear(weight: qkv.weight.rows(rows), bias: qkv.bias?.rows(rows), precision: scope.precision).packed()
    }
    (q, k, v) = (third(0), third(1), third(2))
    output = try Linear(scope["proj"], inputs: width, outputs: width).packed()
  }

  /// `[g, g, C]` → `[g, g, C]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    let channels = x.shape[2]
    let mixed = Tensor.attention(
      queries: q(x).reshaped([1, -1, channels]), keys: k(x).reshaped([1, -1, channels]),
      values: v(x).reshaped([1, -1, channels]),
      heads: channels / PlainViT.headWidth, scale: 1 / Float(PlainViT.headWidth).squareRoot(),
      precision: precision)
    return output(mixed).reshaped(x.shape)
  }
}
