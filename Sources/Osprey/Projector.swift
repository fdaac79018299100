import Checkpoints
import Layers
import Tensors

/// From image features to the language model's width: `linear`, `mlpNx_gelu` or `identity`
/// [osprey/model/multimodal_projector/builder.py].
struct Projector: Sendable {
  let layers: [Linear]

  /// - Parameter scope: `model.mm_projector`; `mlpNx_gelu` numbers its layers 0, 2, 4, … with GELUs between.
  init(_ scope: WeightScope, inputs: Int, outputs: Int, type: String?) throws(CheckpointError) {
    if type == "identity" {
      layers = []
      return
    }
    if scope.has("weight") {
      layers = [try Linear(scope, inputs: inputs, outputs: outputs)]
      return
    }
    var (layers, width) = ([try Linear(scope[0], inputs: inputs, outputs: outputs)], outputs)
    while scope[2 * layers.count].has("weight") {
      let next = try Linear(scope[2 * layers.count], inputs: width, outputs: outputs)
      width = next.outputs
      layers.append(next)
    }
    self.layers = layers
  }

  /// `[T, C]` → `[T, D]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    var x = x
    for (i, layer) in layers.enumerated() {
      if i > 0 { x.gelu() }
      x = layer(x)
    }
    return x
  }
}
