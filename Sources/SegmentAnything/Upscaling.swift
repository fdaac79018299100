import Checkpoints
import Layers
import Tensors

/// Two transposed convolutions, each of which doubles the grid, with a LayerNorm and a GELU between them. Source:
/// `mask_decoder.py`, `self.output_upscaling` without its last GELU; `mask_decoder_hq.py` has three of the kind.
/// EfficientSAM's has a GroupNorm instead: `efficient_sam_decoder.py`, `self.final_output_upscaling_layers`.
struct Upscaling: Sendable {
  let first: ConvTranspose2d
  let norm: Norm
  let second: ConvTranspose2d

  var outputs: Int { second.outputs }

  /// Over the channels of each cell, or over the whole map.
  enum Norm: Sendable {
    case channels(LayerNorm)
    case map(GroupNorm)
  }

  /// SAM's: `0`, `1`, `3`.
  init(_ scope: WeightScope, inputs: Int, outputs: Int = -1) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0], inputs: inputs)
    norm = .channels(try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6))
    second = try ConvTranspose2d(scope[3], inputs: first.outputs, outputs: outputs)
  }

  /// EfficientSAM's: `0.0`, `0.1`, `1.0`.
  init(efficient scope: WeightScope, inputs: Int) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0][0], inputs: inputs)
    norm = .map(try GroupNorm(scope[0][1], channels: first.outputs))
    second = try ConvTranspose2d(scope[1][0], inputs: first.outputs)
  }

  /// `[h, w, in]` → `[4h, 4w, out]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    var x = first(x)
    switch norm {
    case .channels(let norm): x = norm(x)
    case .map(let norm): x = norm(x)
    }
    x.gelu()
    return second(x)
  }
}
