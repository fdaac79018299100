import Checkpoints
import Tensors

/// A transformer's two linear layers with a GELU between them.
public struct FeedForward: Sendable {
  let widen: Linear
  let narrow: Linear

  /// Both `[…, C]` → `[…, W]` → `[…, C]`.
  public init(widen: Linear, narrow: Linear) {
    precondition(widen.outputs == narrow.inputs)
    (self.widen, self.narrow) = (widen, narrow)
  }

  /// `sum += self(x)`
  public func callAsFunction(_ x: Tensor, addingTo sum: inout Tensor) {
    sum.addFeedForward(x, widen: widen.operand(), widen.bias, narrow: narrow.operand(), narrow.bias)
  }
}
