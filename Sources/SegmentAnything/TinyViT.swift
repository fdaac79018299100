import Checkpoints
import Layers
import Tensors

/// MobileSAM's image encoder. Source: `mobile_sam/modeling/tiny_vit_sam.py`, `TinyViT`; "TinyViT" (Wu et al., 2022) for
/// the architecture. Its classifier (`norm_head`, `head`) is never read. Batch norms are folded into the convolutions
/// before them.
package struct TinyViT: StagedImageEncoder {
  package let imageSize: Int
  package let gridSize: Int
  /// `patch_embed.seq.0`, `patch_embed.seq.2`: two strided convolutions.
  let stem: [Conv2d]
  /// `layers.0`: convolutions only.
  let convolutions: [InvertedBottleneck]
  /// `layers.1`…`layers.3`.
  let stages: [[TinyViTBlock]]
  /// `layers.i.downsample`, after each stage but the last.
  let merges: [InvertedBottleneck]
  let neck: Neck

  /// Depths, widths, heads and windows are read from shapes. No tensor tells the input's size, so it is given.
  init(_ scope: WeightScope, imageSize: Int, outputs: Int) throws(CheckpointError) {
    precondition(imageSize % 16 == 0 && imageSize > 0)
    (self.imageSize, gridSize) = (imageSize, imageSize / 16)
    let seq = scope["patch_embed"]["seq"]
    let first = try Conv2d(seq[0]["c"], batchNorm: seq[0]["bn"], inputs: 3, kernel: 3, stride: 2, padding: 1)
    let second = try Conv2d(
      seq[2]["c"], batchNorm: seq[2]["bn"], inputs: first.outputs, kernel: 3, stride: 2, padding: 1)
    stem = [first, second]
    var width = second.outputs
    guard width > 0 else { throw seq.malformed("2.c.weight", "is empty") }

    let layers = scope["layers"]
    var convolutions: [InvertedBottleneck] = []
    for i in 0..<layers[0]["blocks"].listCount() {
      convolutions.append(try InvertedBottleneck(mbConv: layers[0]["blocks"][i], width: width))
    }
    self.convolutions = convolutions

    var (stages, merges) = ([[TinyViTBlock]](), [InvertedBottleneck]())
    for i in 1...3 {
      // The last merge keeps the grid: a stride no tensor tells.
      let merge = try InvertedBottleneck(
        patchMerging: layers[i - 1]["downsample"], inputs: width, stride: i < 3 ? 2 : 1)
      merges.append(merge)
      width = merge.outputs
      let blocks = layers[i]["blocks"]
      var stage: [TinyViTBlock] = []
      for j in 0..<blocks.listCount() {
        stage.append(try TinyViTBlock(blocks[j], width: width))
      }
      stages.append(stage)
    }
    (self.stages, self.merges) = (stages, merges)
    neck = try Neck(scope["neck"], inputs: width, outputs: outputs)
  }

  package var earlyWidth: Int { merges[1].outputs }

  /// As far as the output of `layers.1`, with its downsampling.
  package func early(_ input: Tensor) -> Tensor {
    var x = Profile.layer("patch_embed") { stem[1](stem[0](input, .gelu)) }
    for (i, block) in convolutions.enumerated() { x = Profile.layer("layers.0.blocks.\(i)") { block(x) } }
    x = merged(0, x)
    through(0, &x)
    return merged(1, x)
  }

  package func late(_ early: Tensor) -> Tensor {
    var x = early
    through(1, &x)
    x = merged(2, x)
    through(2, &x)
    return Profile.layer("neck") { neck(x) }
  }

  /// The blocks of `layers.1` and up.
  private func through(_ stage: Int, _ x: inout Tensor) {
    for (i, block) in stages[stage].enumerated() {
      Profile.layer("layers.\(stage + 1).blocks.\(i)") { block(&x) }
    }
  }

  /// `layers.i.downsample`
  private func merged(_ i: Int, _ x: Tensor) -> Tensor {
    Profile.layer("layers.\(i).downsample") { merges[i](x) }
  }
}

extension InvertedBottleneck {
  /// With a residual before its last GELU. Source: `tiny_vit_sam.py`, `MBConv`.
  fileprivate init(mbConv scope: WeightScope, width: Int) throws(CheckpointError) {
    try self.init(scope, inputs: width, outputs: width, stride: 1, isResidual: true)
  }

  /// Widens the channels and, with stride 2, halves the grid. Source: `tiny_vit_sam.py`, `PatchMerging`.
  fileprivate init(patchMerging scope: WeightScope, inputs: Int, stride: Int) throws(CheckpointError) {
    try self.init(scope, inputs: inputs, outputs: -1, stride: stride, isResidual: false)
  }

  private init(
    _ scope: WeightScope, inputs: Int, outputs: Int, stride: Int, isResidual: Bool
  ) throws(CheckpointError) {
    let widen = try Conv2d(scope["conv1"]["c"], batchNorm: scope["conv1"]["bn"], inputs: inputs, kernel: 1)
    let wide = widen.outputs
    guard wide > 0 else { throw scope.malformed("conv1.c.weight", "is empty") }
    let depthwise = try DepthwiseConv2d(
      scope["conv2"]["c"], batchNorm: scope["conv2"]["bn"], channels: wide, kernel: 3, stride: stride, padding: 1)
    let narrow = try Conv2d(
      scope["conv3"]["c"], batchNorm: scope["conv3"]["bn"], inputs: wide, outputs: isResidual ? outputs : wide,
      kernel: 1)
    self.init(widen: widen, depthwise: depthwise, narrow: narrow, isResidual: isResidual)
  }
}
