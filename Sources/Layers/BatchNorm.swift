import Checkpoints
import Tensors

extension Tensor {
  /// A batch norm at inference is a factor and a shift per channel: `γ/√(σ²+ε)` and `β − μ·factor`. Both `[C]`.
  static func foldedBatchNorm(
    _ scope: WeightScope, channels: Int, epsilon: Float = 1e-5
  ) throws(CheckpointError) -> (scale: Tensor, shift: Tensor) {
    let gamma = try scope.tensor("weight", [channels]).values
    let beta = try scope.tensor("bias", [channels]).values
    let mean = try scope.tensor("running_mean", [channels]).values
    let variance = try scope.tensor("running_var", [channels]).values
    let scale = zip(gamma, variance).map { $0 / ($1 + epsilon).squareRoot() }
    let shift = (0..<channels).map { beta[$0] - mean[$0] * scale[$0] }
    return (Tensor([channels], scale), Tensor([channels], shift))
  }

  /// This tensor times `scale` along its last axis.
  func scalingColumns(by scale: Tensor) -> Tensor {
    var result = self
    result.scaleShift(scale, Tensor([scale.count]))
    return result
  }
}

extension Conv2d {
  /// A convolution without bias, `convolution.weight`, followed by a batch norm, folded into one convolution.
  public init(
    _ convolution: WeightScope, batchNorm: WeightScope, inputs: Int = -1, outputs: Int = -1, kernel: Int,
    stride: Int = 1, padding: Int = 0
  ) throws(CheckpointError) {
    let stored = try convolution.tensor("weight", [outputs, inputs, kernel, kernel])
    let (scale, shift) = try Tensor.foldedBatchNorm(batchNorm, channels: stored.shape[0])
    self.init(
      weight: stored.permuted([2, 3, 1, 0]).scalingColumns(by: scale), bias: shift, stride: stride, padding: padding,
      precision: convolution.precision.beyondLinear)
  }
}

extension DepthwiseConv2d {
  /// A depthwise convolution without bias followed by a batch norm, folded into one convolution.
  public init(
    _ convolution: WeightScope, batchNorm: WeightScope, channels: Int = -1, kernel: Int, stride: Int = 1, padding: Int
  ) throws(CheckpointError) {
    let stored = try convolution.tensor("weight", [channels, 1, kernel, kernel])
    let count = stored.shape[0]
    let (scale, shift) = try Tensor.foldedBatchNorm(batchNorm, channels: count)
    let weight = stored.reshaped([count, kernel, kernel]).permuted([1, 2, 0])
    self.init(weight: weight.scalingColumns(by: scale), bias: shift, stride: stride, padding: padding)
  }
}
