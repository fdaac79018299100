import Checkpoints
import Tensors

/// `torch.nn.Conv2d` with one group, on channels-last maps.
public struct Conv2d: Sendable {
  /// `[k·k·in, out]` of `[k, k, in, out]`, reordered from the checkpoint's `[out, in, k, k]`.
  let weight: PackedMatrix
  let bias: Tensor?
  public let inputs: Int
  public let kernel: Int
  let stride: Int
  let padding: Int

  public var outputs: Int { weight.columns }

  public init(
    _ scope: WeightScope, inputs: Int = -1, outputs: Int = -1, kernel: Int, stride: Int = 1, padding: Int = 0,
    bias: Bool = true
  ) throws(CheckpointError) {
    let stored = try scope.tensor("weight", [outputs, inputs, kernel, kernel])
    self.init(
      weight: stored.permuted([2, 3, 1, 0]), bias: bias ? try scope.tensor("bias", [stored.shape[0]]) : nil,
      stride: stride, padding: padding, precision: scope.precision.beyondLinear)
  }

  /// From a weight already in `[k, k, in, out]` order, such as one that a batch norm was folded into.
  public init(weight: Tensor, bias: Tensor?, stride: Int, padding: Int, precision: Precision = .fp32) {
    (kernel, inputs) = (weight.shape[0], weight.shape[2])
    (self.weight, self.bias) = (PackedMatrix(weight, precision), bias)
    (self.stride, self.padding) = (stride, padding)
  }

  /// `[H, W, in]` → `[H', W', out]`.
  public func callAsFunction(_ x: Tensor, _ activation: Activation? = nil) -> Tensor {
    x.convolved(weight, kernel: kernel, bias: bias, activation: activation, stride: stride, padding: padding)
  }
}

/// `torch.nn.Conv2d` with as many groups as channels, on channels-last maps.
public struct DepthwiseConv2d: Sendable {
  /// `[k, k, C]`, reordered from the checkpoint's `[C, 1, k, k]`.
  let weight: Tensor
  let bias: Tensor?
  let stride: Int
  let padding: Int

  public init(
    _ scope: WeightScope, channels: Int = -1, kernel: Int, stride: Int = 1, padding: Int, bias: Bool = true
  ) throws(CheckpointError) {
    let stored = try scope.tensor("weight", [channels, 1, kernel, kernel])
    weight = stored.reshaped([stored.shape[0], kernel, kernel]).permuted([1, 2, 0])
    self.bias = bias ? try scope.tensor("bias", [stored.shape[0]]) : nil
    self.stride = stride
    self.padding = padding
  }

  /// From a weight already in `[k, k, C]` order.
  public init(weight: Tensor, bias: Tensor?, stride: Int, padding: Int) {
    (self.weight, self.bias, self.stride, self.padding) = (weight, bias, stride, padding)
  }

  /// `[H, W, C]` → `[H', W', C]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.depthwiseConvolved(weight, bias: bias, stride: stride, padding: padding)
  }
}

/// `torch.nn.ConvTranspose2d(kernel_size: 2, stride: 2)`, on channels-last maps.
public struct ConvTranspose2d: Sendable {
  /// `[in, 2·2·out]`, reordered from the checkpoint's `[in, out, 2, 2]`.
  public let weight: Tensor
  /// `[out]`
  public let bias: Tensor

  public var outputs: Int { bias.count }

  public init(_ scope: WeightScope, inputs: Int = -1, outputs: Int = -1) throws(CheckpointError) {
    let stored = try scope.tensor("weight", [inputs, outputs, 2, 2])
    weight = stored.permuted([0, 2, 3, 1]).reshaped([stored.shape[0], 4 * stored.shape[1]])
    bias = try scope.tensor("bias", [stored.shape[1]])
  }

  /// `[H, W, in]` → `[2H, 2W, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.doubled(weight, bias: bias) }
}
