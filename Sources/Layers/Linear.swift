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

extension Linear {
  /// The same layer with each output multiplied by a factor, such as ConvNeXt's layer scale. `factors [out]`.
  public func scalingOutputs(by factors: Tensor) -> Linear {
    precondition(factors.count == outputs)
    var scaled = weight
    let (scale, columns) = (factors.values, inputs)
    scaled.withUnsafeMutable { all in
      for (row, factor) in scale.enumerated() {
        for i in row * columns..<(row + 1) * columns { all[i] *= factor }
      }
    }
    return Linear(
      weight: scaled, bias: bias.map { Tensor([outputs], zip($0.values, scale).map { $0 * $1 }) })
  }

  /// From tensors at hand: `weight [out, in]`, `bias [out]`.
  public init(weight: Tensor, bias: Tensor?) {
    precondition(weight.shape.count == 2 && (bias.map { $0.count == weight.shape[0] } ?? true))
    (self.weight, self.bias) = (weight, bias)
  }
}
