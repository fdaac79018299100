import Checkpoints
import Layers
import Tensors

/// Whose decoder it is. EfficientSAM's is SAM's but for the self-attention's residuals (`TwoWayAttentionBlock`), GELU where
/// SAM has ReLU, one norm, and the names of its tensors. Source: `efficient_sam_decoder.py`, `two_way_transformer.py` and
/// `mlp.py` of `yformer/EfficientSAM`.
enum DecoderForm: Sendable {
  case sam
  case efficientSAM

  /// As the tensors of a `mask_decoder` tell.
  init(_ scope: WeightScope) {
    self = scope["final_output_upscaling_layers"].isEmpty ? .sam : .efficientSAM
  }

  /// A hypernetwork or the IoU head: `layers.0`, `layers.1`, …; or hidden layers `layers.0.0`, `layers.1.0`, … and `fc`.
  func mlp(_ scope: WeightScope, inputs: Int, outputs: Int) throws(CheckpointError) -> MLP {
    let depth = scope["layers"].listCount()
    guard self == .efficientSAM else { return try MLP(scope, inputs: inputs, outputs: outputs, depth: depth) }
    var layers: [Linear] = []
    var width = inputs
    for i in 0..<depth {
      let layer = try Linear(scope["layers"][i][0], inputs: width)
      width = layer.outputs
      layers.append(layer)
    }
    layers.append(try Linear(scope["fc"], inputs: width, outputs: outputs))
    return MLP(layers: layers, activation: .gelu)
  }

  /// The MLP of a transformer's block, as wide at its end as at its start: `lin1`, `lin2`; or as any other of
  /// EfficientSAM's.
  func blockMLP(_ scope: WeightScope, width: Int) throws(CheckpointError) -> MLP {
    guard self == .sam else { return try mlp(scope, inputs: width, outputs: width) }
    let widen = try Linear(scope["lin1"], inputs: width)
    return MLP(
      layers: [widen, try Linear(scope["lin2"], inputs: widen.outputs, outputs: width)], activation: .relu)
  }

  /// The two doublings with the norm between them: `output_upscaling.0`, `.1`, `.3`; or
  /// `final_output_upscaling_layers.0.0`, `.0.1`, `.1.0`.
  func upscaling(
    _ scope: WeightScope, width: Int
  ) throws(CheckpointError) -> (first: ConvTranspose2d, norm: UpscaleNorm, second: ConvTranspose2d) {
    switch self {
    case .sam:
      let scope = scope["output_upscaling"]
      let first = try ConvTranspose2d(scope[0], inputs: width)
      let norm = try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6)
      return (first, .channels(norm), try ConvTranspose2d(scope[3], inputs: first.outputs))
    case .efficientSAM:
      let scope = scope["final_output_upscaling_layers"]
      let first = try ConvTranspose2d(scope[0][0], inputs: width)
      let norm = try GroupNorm(scope[0][1], channels: first.outputs)
      return (first, .map(norm), try ConvTranspose2d(scope[1][0], inputs: first.outputs))
    }
  }
}

/// Over the channels of each cell, or over the whole map.
enum UpscaleNorm: Sendable {
  case channels(LayerNorm)
  case map(GroupNorm)

  /// `[H, W, C]` → `[H, W, C]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .channels(let norm): norm(x)
    case .map(let norm): norm(x)
    }
  }
}
