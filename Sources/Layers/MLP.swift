import Checkpoints
import Tensors

/// Linear layers with an activation between them: SAM's hypernetworks and IoU head, Osprey's position encoder.
public struct MLP: Sendable {
  public let layers: [Linear]
  public let activation: Activation

  /// Reads layers named `layers.0`, `layers.1`, …, with ReLU between them.
  public init(_ scope: WeightScope, inputs: Int = -1, outputs: Int = -1, depth: Int = 3) throws(CheckpointError) {
    var layers: [Linear] = []
    var width = inputs
    for i in 0..<depth {
      let layer = try Linear(scope["layers"][i], inputs: width, outputs: i == depth - 1 ? outputs : -1)
      width = layer.outputs
      layers.append(layer)
    }
    self.init(layers: layers, activation: .relu)
  }

  /// From layers at hand, each as wide as the one before it gives.
  public init(layers: [Linear], activation: Activation) {
    precondition(zip(layers, layers.dropFirst()).allSatisfy { $0.outputs == $1.inputs })
    (self.layers, self.activation) = (layers, activation)
  }

  /// The same with its weights packed, for many products in a row.
  public func packed() -> MLP { MLP(layers: layers.map { $0.packed() }, activation: activation) }

  /// `[…, in]` → `[…, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    var x = x
    for (i, layer) in layers.enumerated() { x = layer(x, i < layers.count - 1 ? activation : nil) }
    return x
  }
}
