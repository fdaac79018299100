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
    guard self == .sam else { return try mlp(scope, inputs: width, outputs: width).packed() }
    let widen = try Linear(scope["lin1"], inputs: width)
    return MLP(
      layers: [widen, try Linear(scope["lin2"], inputs: widen.outputs, outputs: width)], activation: .relu
    ).packed()
  }

  /// `output_upscaling`, or `final_output_upscaling_layers`.
  func upscaling(_ scope: WeightScope, inputs: Int) throws(CheckpointError) -> Upscaling {
    switch self {
    case .sam: try Upscaling(scope["output_upscaling"], inputs: inputs)
    case .efficientSAM: try Upscaling(efficient: scope["final_output_upscaling_layers"], inputs: inputs)
    }
  }
}
