import Checkpoints
import Tensors

/// `torch.nn.Linear`: `y = x Wᵀ + b`.
public struct Linear: Sendable {
  /// `[out, in]`
  public let weight: Tensor
  /// `[out]`, where the checkpoint has one.
  public let bias: Tensor?

  public var inputs: Int { weight.shape[1] }
  public var outputs: Int { weight.shape[0] }

  /// Reads `weight [outputs, inputs]` and, unless `bias` is false, `bias [outputs]`; -1 takes what the file has.
  public init(_ scope: WeightScope, inputs: Int = -1, outputs: Int = -1, bias: Bool = true) throws(CheckpointError) {
    weight = try scope.tensor("weight", [outputs, inputs])
    self.bias = bias ? try scope.tensor("bias", [weight.shape[0]]) : nil
  }

  /// `[…, in]` → `[…, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.linear(weight, bias: bias) }
}
