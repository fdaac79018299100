import Checkpoints
import Layers
import Tensors

// ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022) as timm builds it for open_clip: stem and four stages, of which
// Osprey keeps the outputs [osprey/model/multimodal_encoder/clip.py].

/// One residual block: depthwise 7×7, layer norm, two linear layers, layer scale.
struct ConvNeXtBlock: Sendable {
  let depthwise: DepthwiseConv2d
  let norm: LayerNorm
  let mlp: FeedForward

  /// - Parameter scope: `stages.i.blocks.j`
  init(_ scope: WeightScope, channels: Int) throws(CheckpointError) {
    depthwise = try DepthwiseConv2d(scope["conv_dw"], channels: channels, kernel: 7, padding: 3)
    norm = try LayerNorm(scope["norm"], channels: channels, epsilon: 1e-6)
    let expand = try Linear(scope["mlp"]["fc1"], inputs: channels)
    // Old transformers rename `gamma` to `weight` when they save.
    let gamma = try scope.tensor(scope.has("gamma") || !scope.has("weight") ? "gamma" : "weight", [channels])
    let contract = try Linear(scope["mlp"]["fc2"].computing(in: .fp32), inputs: expand.outputs, outputs: channels)
      .scalingOutputs(by: gamma, precision: scope.precision)
    mlp = FeedForward(widen: expand, narrow: contract)
  }

  /// `[H, W, C]`, in place.
  func callAsFunction(_ x: inout Tensor) {
    let normed = Profile.layer("conv_dw") { norm(depthwise(x)) }
    Profile.layer("mlp") { mlp(normed, addingTo: &x) }
  }
}

/// A stage: halves the map where its first tensor says so, then its blocks.
struct ConvNeXtStage: Sendable {
  let norm: LayerNorm?
  let downsample: Conv2d?
  let blocks: [ConvNeXtBlock]
  let channels: Int

  /// - Parameter scope: `stages.i`
  init(_ scope: WeightScope, inputs: Int) throws(CheckpointError) {
    if scope["downsample"][1].has("weight") {
      norm = try LayerNorm(scope["downsample"][0], channels: inputs, epsilon: 1e-6)
      let convolution = try Conv2d(scope["downsample"][1], inputs: inputs, kernel: 2, stride: 2)
      downsample = convolution
      channels = convolution.outputs
    } else {
      (norm, downsample, channels) = (nil, nil, inputs)
    }
    let depth = scope["blocks"].count(having: "conv_dw.weight")
    _ = try scope.shape("blocks.0.conv_dw.weight")
    var blocks: [ConvNeXtBlock] = []
    for i in 0..<depth {
      blocks.append(try ConvNeXtBlock(scope["blocks"][i], channels: channels))
    }
    self.blocks = blocks
  }

  func callAsFunction(_ x: Tensor) -> Tensor {
    var x = x
    if let norm, let downsample { x = Profile.layer("downsample") { downsample(norm(x)) } }
    for (i, block) in blocks.enumerated() { Profile.layer("blocks.\(i)") { block(&x) } }
    return x
  }
}

/// The trunk; widths and depths come from the tensors' shapes.
struct ConvNeXt: Sendable {
  let stem: Conv2d
  let stemNorm: LayerNorm
  let stages: [ConvNeXtStage]

  /// Where a trunk may lie: raw timm, open_clip, and Osprey's Hugging Face folder.
  private static let prefixes = [
    "visual.trunk.", "trunk.", "", "vision_tower.visual.trunk.", "model.visual.trunk.",
    "model.vision_tower.visual.trunk.", "model.vision_tower.vision_tower.visual.trunk.",
  ]

  /// The place of a trunk in a checkpoint, if it has one.
  static func scope(in checkpoint: any Checkpoint) -> WeightScope? {
    prefixes.lazy.map { WeightScope(checkpoint, prefix: $0) }
      .first { $0.has("stem.0.weight") && $0.has("stages.0.blocks.0.conv_dw.weight") }
  }

  init(_ scope: WeightScope) throws(CheckpointError) {
    stem = try Conv2d(scope["stem"][0], inputs: 3, kernel: 4, stride: 4)
    stemNorm = try LayerNorm(scope["stem"][1], channels: stem.outputs, epsilon: 1e-6)
    var (stages, channels) = ([ConvNeXtStage](), stem.outputs)
    for i in 0..<4 {
      let stage = try ConvNeXtStage(scope["stages"][i], inputs: channels)
      channels = stage.channels
      stages.append(stage)
    }
    self.stages = stages
  }

  /// - Parameter x: `[S, S, 3]`, normalised.
  /// - Returns: res2…res5, `[S/4, S/4, C]` and down to `[S/32, S/32, C]`.
  func callAsFunction(_ x: Tensor) -> [Tensor] {
    var x = Profile.layer("stem") { stemNorm(stem(x)) }
    return stages.enumerated().map { i, stage in
      x = Profile.layer("stages.\(i)") { stage(x) }
      return x
    }
  }
}
