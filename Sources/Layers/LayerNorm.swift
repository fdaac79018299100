import Checkpoints
import Tensors

/// `torch.nn.LayerNorm` over the last axis; on channels-last maps it is also SAM's `LayerNorm2d` over channels.
public struct LayerNorm: Sendable {
  public let weight: Tensor
  public let bias: Tensor
  public let epsilon: Float

  public init(_ scope: WeightScope, channels: Int = -1, epsilon: Float) throws(CheckpointError) {
    weight = try scope.tensor("weight", [channels])
    bias = try scope.tensor("bias", [weight.count])
    self.epsilon = epsilon
  }

  /// `[…, C]` → `[…, C]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.layerNormalized(weight: weight, bias: bias, epsilon: epsilon)
  }
}
