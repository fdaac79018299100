import Checkpoints
import Tensors

/// `torch.nn.Linear`: `y = x Wᵀ + b`.
public struct Linear: Sendable {
  /// `[out, in]`
  public let weight: Tensor
  /// `[out]`, where the checkpoint has one.
  public let bias: Tensor?
  /// The weight as tiles read it: in a lower precision always, in fp32 where it was asked for.
  private let matrix: PackedMatrix?

  public var inputs: Int { weight.shape[1] }
  public var outputs: Int { weight.shape[0] }

  /// Reads `weight [outputs, inputs]` and, unless `bias` is false, `bias [outputs]`; -1 takes what the file has.
  public init(_ scope: WeightScope, inputs: Int = -1, outputs: Int = -1, bias: Bool = true) throws(CheckpointError) {
    let weight = try scope.tensor("weight", [outputs, inputs])
    self.init(
      weight: weight, bias: bias ? try scope.tensor("bias", [weight.shape[0]]) : nil, precision: scope.precision)
  }

  /// From tensors at hand: `weight [out, in]`, `bias [out]`.
  public init(weight: Tensor, bias: Tensor?, precision: Precision = .fp32) {
    precondition(weight.shape.count == 2 && (bias.map { $0.count == weight.shape[0] } ?? true))
    self.init(weight, bias, precision == .fp32 ? nil : PackedMatrix(transposing: weight, precision))
    if matrix != nil { weight.letGo() }
  }

  private init(_ weight: Tensor, _ bias: Tensor?, _ matrix: PackedMatrix?) {
    (self.weight, self.bias, self.matrix) = (weight, bias, matrix)
  }

  /// The same with its weight packed in fp32 too, for many products in a row.
  public func packed() -> Linear { Linear(weight, bias, operand()) }

  /// `[…, in]` → `[…, out]`.
  public func callAsFunction(_ x: Tensor, _ activation: Activation? = nil) -> Tensor {
    guard let matrix else { return x.linear(weight, bias: bias, activation: activation) }
    return x.multiplied(by: matrix, bias: bias, activation: activation)
  }

  /// `x Wᵀ`, without the bias.
  public func product(_ x: Tensor) -> Tensor { x.multiplied(by: operand()) }

  /// The weight packed; what it was packed from is read again where it is needed.
  func operand() -> PackedMatrix {
    if let matrix { return matrix }
    defer { weight.letGo() }
    return PackedMatrix(transposing: weight, .fp32)
  }
}

extension Linear {
  /// The same layer with each output multiplied by a factor, such as ConvNeXt's layer scale. `factors [out]`.
  public func scalingOutputs(by factors: Tensor, precision: Precision) -> Linear {
    precondition(factors.count == outputs)
    var scaled = weight
    let (scale, columns) = (factors.values, inputs)
    scaled.withUnsafeMutable { all in
      for (row, factor) in scale.enumerated() {
        for i in row * columns..<(row + 1) * columns { all[i] *= factor }
      }
    }
    return Linear(
      weight: scaled, bias: bias.map { Tensor([outputs], zip($0.values, scale).map { $0 * $1 }) }, precision: precision)
  }
}
