import Checkpoints
import Layers
import Tensors

/// Two transposed convolutions, each of which doubles the grid, with a LayerNorm and a GELU between them. Source:
/// `mask_decoder.py`, `self.output_upscaling` without its last GELU; `mask_decoder_hq.py` has three of the kind.
struct Upscaling: Sendable {
  /// `0`, `1`, `3`
  let first: ConvTranspose2d
  let norm: LayerNorm
  let second: ConvTranspose2d

  var outputs: Int { second.outputs }

  init(_ scope: WeightScope, inputs: Int, outputs: Int = -1) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0], inputs: inputs)
    norm = try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6)
    second = try ConvTranspose2d(scope[3], inputs: first.outputs, outputs: outputs)
  }

  /// `[h, w, in]` → `[4h, 4w, out]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    var x = norm(first(x))
    x.gelu()
    return second(x)
  }
}
