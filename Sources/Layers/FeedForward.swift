import Checkpoints
import Tensors

/// A transformer's two linear layers with a GELU between them.
public struct FeedForward: Sendable {
  /// `[C, W]`, `[W]`
  let widen: PackedMatrix
  let widenBias: Tensor?
  /// `[W, C]`, `[C]`
  let narrow: PackedMatrix
  let narrowBias: Tensor?

  /// Both `[…, C]` → `[…, W]` → `[…, C]`.
  public init(widen: Linear, narrow: Linear) {
    precondition(widen.outputs == narrow.inputs)
    (self.widen, widenBias) = (widen.operand(), widen.bias)
    (self.narrow, narrowBias) = (narrow.operand(), narrow.bias)
  }

  /// `sum += self(x)`
  public func callAsFunction(_ x: Tensor, addingTo sum: inout Tensor) {
    sum.addFeedForward(x, widen: widen, widenBias, narrow: narrow, narrowBias)
  }
}
