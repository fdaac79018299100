import Checkpoints
import Tensors

/// A `Linear` whose weight stays as its file stores it, in half precision or blocks: for weights that are too large to
/// be widened once and kept.
public struct StoredLinear: Sendable {
  /// `[out, in]`
  public let weight: WeightMatrix
  /// `[out]`, where the checkpoint has one.
  public let bias: Tensor?

  /// Reads `weight [outputs, inputs]` and, if there is one, `bias [outputs]`.
  public init(_ scope: WeightScope, inputs: Int, outputs: Int) throws(CheckpointError) {
    weight = try scope.matrix("weight", [outputs, inputs])
    bias = scope.has("bias") ? try scope.tensor("bias", [outputs]) : nil
  }

  /// `[…, in]` → `[…, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.linear(weight, bias: bias) }
}
