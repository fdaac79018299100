import Checkpoints
import Tensors

/// Linear layers with ReLU between them, named `layers.0`, `layers.1`, …: SAM's hypernetworks and IoU head, Osprey's
/// position encoder.
public struct MLP: Sendable {
  public let layers: [Linear]

  public init(_ scope: WeightScope, inputs: Int = -1, outputs: Int = -1, depth: Int = 3) throws(CheckpointError) {
    var layers: [Linear] = []
    var width = inputs
    for i in 0..<depth {
      let layer = try Linear(scope["layers"][i], inputs: width, outputs: i == depth - 1 ? outputs : -1)
      width = layer.outputs
      layers.append(layer)
    }
    self.layers = layers
  }

  /// `[…, in]` → `[…, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    var x = x
    for (i, layer) in layers.enumerated() {
      x = layer(x)
      if i < layers.count - 1 { x.relu() }
    }
    return x
  }
}
