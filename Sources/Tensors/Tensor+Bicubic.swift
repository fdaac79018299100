extension Tensor {
  /// Bicubic resampling without antialiasing, as `torch.nn.functional.interpolate(mode: "bicubic", align_corners: false)`
  /// does it. For small maps, such as position embeddings.
  ///
  /// - Returns: `[height, width, C]` for `[H, W, C]`.
  public func resizedBicubic(height: Int, width: Int) -> Tensor {
    let (inHeight, inWidth, channels) = (shape[0], shape[1], shape[2])
    if inHeight == height && inWidth == width { return self }
    let rows = BicubicTaps(from: inHeight, to: height)
    let columns = BicubicTaps(from: inWidth, to: width)
    return withUnsafe { source in
      Tensor([height, width, channels]) { out in
        out.initialize(repeating: 0)
        for y in 0..<height {
          for x in 0..<width {
            let target = (y * width + x) * channels
            for i in 4 * y..<4 * y + 4 {
              for j in 4 * x..<4 * x + 4 {
                let weight = rows.weights[i] * columns.weights[j]
                let from = (rows.positions[i] * inWidth + columns.positions[j]) * channels
                for c in 0..<channels { out[target + c] += weight * source[from + c] }
              }
            }
          }
        }
      }
    }
  }
}

/// For each output position the four input positions around it, those beyond the border moved onto it, and their weights:
/// cubic convolution with a = −0.75, source = (i + ½) · in/out − ½.
public struct BicubicTaps: Sendable {
  /// `[4·out]`, those of output i from 4·i on.
  public let positions: [Int]
  public let weights: [Float]

  public init(from input: Int, to output: Int) {
    let scale = Float(input) / Float(output)
    let a: Float = -0.75
    func near(_ x: Float) -> Float { ((a + 2) * x - (a + 3)) * x * x + 1 }
    func far(_ x: Float) -> Float { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
    var (positions, weights) = ([Int](), [Float]())
    positions.reserveCapacity(4 * output)
    weights.reserveCapacity(4 * output)
    for i in 0..<output {
      let source = (Float(i) + 0.5) * scale - 0.5
      let base = source.rounded(.down)
      let t = source - base
      for k in -1...2 { positions.append(min(max(Int(base) + k, 0), input - 1)) }
      weights += [far(t + 1), near(t), near(1 - t), far(2 - t)]
    }
    (self.positions, self.weights) = (positions, weights)
  }
}
