import Tensors

/// Wider by a 1×1 convolution, a depthwise 3×3 one, narrower by another of 1×1, with GELUs between them ("MobileNetV2", Sandler et al., 2018).
public struct InvertedBottleneck: Sendable {
  let weights: BottleneckWeights
  /// Whether the input is added, and a GELU stands behind that.
  let isResidual: Bool

  public var outputs: Int { weights.narrow.columns }

  public init(widen: Conv2d, depthwise: DepthwiseConv2d, narrow: Conv2d, isResidual: Bool) {
    precondition(widen.kernel == 1 && narrow.kernel == 1 && depthwise.padding == 1)
    precondition(widen.outputs == narrow.inputs && (!isResidual || widen.inputs == narrow.outputs))
    let wide = widen.outputs
    weights = BottleneckWeights(
      widen: widen.weight, widen.bias ?? Tensor([wide]), depthwise: depthwise.weight,
      depthwise.bias ?? Tensor([wide]), stride: depthwise.stride, narrow: narrow.weight,
      narrow.bias ?? Tensor([narrow.outputs]))
    self.isResidual = isResidual
  }

  /// `[H, W, in]` → `[⌈H/stride⌉, ⌈W/stride⌉, out]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.bottlenecked(weights, residual: isResidual) }
}
