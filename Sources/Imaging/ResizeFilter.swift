/// How a resized pixel is weighed from those around it.
public enum ResizeFilter: Sendable {
  /// A triangle; Pillow's `BILINEAR`.
  case bilinear
  /// Keys' cubic with a = −0.5; Pillow's `BICUBIC`.
  case bicubic

  /// How far the filter reaches, in output pixels when shrinking, in input pixels otherwise.
  var support: Double {
    switch self {
    case .bilinear: 1
    case .bicubic: 2
    }
  }

  func weight(at distance: Double) -> Double {
    let x = abs(distance)
    switch self {
    case .bilinear: return x < 1 ? 1 - x : 0
    case .bicubic:
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
      return 0
    }
  }
}

/// The weights of one axis, in fixed point as Pillow has them.
struct ResizeWeights {
  /// Eight bits of result, two of headroom for a cubic's overshoot; the rest of an Int32 is fraction.
  static let fractionBits: Int32 = 32 - 8 - 2

  /// For each output position the first input position that it sees, and how many.
  let bounds: [(first: Int, count: Int)]
  /// For each output position `stride` weights, of which the first `count` are used.
  let values: [Int32]
  let stride: Int

  /// Source: `precompute_coeffs` and `normalize_coeffs_8bpc` in Pillow's `Resample.c`; the same operations in the same
  /// order, as the last bit decides some roundings.
  init(_ filter: ResizeFilter, from inputSize: Int, to outputSize: Int) {
    let scale = Double(inputSize) / Double(outputSize)
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    let stride = Int(support.rounded(.up)) * 2 + 1
    let one = Double(1 << Self.fractionBits)
    var bounds: [(first: Int, count: Int)] = []
    var values = [Int32](repeating: 0, count: outputSize * stride)
    var weights = [Double](repeating: 0, count: stride)
    for position in 0..<outputSize {
      let center = (Double(position) + 0.5) * scale
      let inverse = 1 / filterScale
      let first = max(Int(center - support + 0.5), 0)
      let count = min(Int(center + support + 0.5), inputSize) - first
      var sum = 0.0
      for i in 0..<count {
        weights[i] = filter.weight(at: (Double(i + first) - center + 0.5) * inverse)
        sum += weights[i]
      }
      for i in 0..<count {
        let weight = sum == 0 ? weights[i] : weights[i] / sum
        values[position * stride + i] = Int32(weight < 0 ? weight * one - 0.5 : weight * one + 0.5)
      }
      bounds.append((first, count))
    }
    (self.bounds, self.values, self.stride) = (bounds, values, stride)
  }
}
