import Checkpoints
import Tensors

/// `torch.nn.GroupNorm` with one group, on channels-last maps: normalised over the whole map, then scaled by channel.
public struct GroupNorm: Sendable {
  /// `[C]`
  let weight: Tensor
  let bias: Tensor
  let epsilon: Float

  public init(_ scope: WeightScope, channels: Int = -1, epsilon: Float = 1e-5) throws(CheckpointError) {
    weight = try scope.tensor("weight", [channels])
    bias = try scope.tensor("bias", [weight.count])
    self.epsilon = epsilon
  }

  /// `[…, C]` → `[…, C]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let mean = Float(x.mean { $0 })
    let variance = x.mean { ($0 - mean) * ($0 - mean) }
    let factor = Float(1 / (variance + Double(epsilon)).squareRoot())
    let scale = weight.values.map { $0 * factor }
    let shift = zip(bias.values, scale).map { $0 - mean * $1 }
    var normalised = x
    normalised.scaleShift(Tensor([scale.count], scale), Tensor([shift.count], shift))
    return normalised
  }
}

extension Tensor {
  /// The mean of `term` over all numbers. Sums lie side by side, and pass into a `Double` before a `Float` gets coarse.
  @inline(__always)
  fileprivate func mean(_ term: (SIMD16<Float>) -> SIMD16<Float>) -> Double {
    let (lanes, run) = (16, 1 << 12)
    return withUnsafe { all in
      let bytes = UnsafeRawBufferPointer(all)
      var total = 0.0
      for start in stride(from: 0, to: all.count, by: run) {
        let end = min(start + run, all.count)
        var sums = SIMD16<Float>()
        var i = start
        while i + lanes <= end {
          sums += term(bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<Float>.size, as: SIMD16<Float>.self))
          i += lanes
        }
        total += Double(sums.sum())
        for i in i..<end { total += Double(term(SIMD16(repeating: all[i]))[0]) }
      }
      return total / Double(max(all.count, 1))
    }
  }
}
