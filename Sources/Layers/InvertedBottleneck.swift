import Tensors

/// Wider by a 1×1 convolution, a depthwise 3×3 one, narrower by another of 1×1, with GELUs between them ("MobileNetV2", Sandler et al., 2018).
public struct InvertedBottleneck: Sendable {
  let widen: Conv2d
  let depthwise: DepthwiseConv2d
  let narrow: Conv2d
  /// Whether the input is added, and a GELU stands behind that.
  let isResidual: Bool

  public var outputs: Int { narrow.outputs }

  public init(widen: Conv2d, depthwise: DepthwiseConv2d, narrow: Conv2d, isResidual: Bool) {
    precondition(widen.kernel == 1 && narrow.kernel == 1 && depthwise.padding == 1)
    precondition(widen.outputs == narrow.inputs && (!isResidual || widen.inputs == narrow.outputs))
    (self.widen, self.depthwise, self.narrow, self.isResidual) = (widen, depthwise, narrow, isResidual)
  }

  /// `[H, W, in]` → `[⌈H/stride⌉, ⌈W/stride⌉, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let wide = widen.outputs
    return x.bottlenecked(
      BottleneckWeights(
        widen: widen.operand(), widen.bias ?? Tensor([wide]), depthwise: depthwise.weight,
        depthwise.bias ?? Tensor([wide]), stride: depthwise.stride, narrow: narrow.operand(),
        narrow.bias ?? Tensor([narrow.outputs])), residual: isResidual)
  }
}
