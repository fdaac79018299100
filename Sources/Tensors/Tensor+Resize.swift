extension Tensor {
  /// Bilinear resampling without antialiasing, as `torch.nn.functional.interpolate(mode: "bilinear",
  /// align_corners: false)` does it: source = (i + ½) · in/out − ½, clamped below at 0.
  ///
  /// - Returns: `[height, width, C]` for `[H, W, C]`.
  public func resizedBilinear(height: Int, width: Int) -> Tensor {
    let (inHeight, inWidth, channels) = (shape[0], shape[1], shape[2])
    if inHeight == height && inWidth == width { return self }
    let rows = BilinearTaps(from: inHeight, to: height)
    let columns = BilinearTaps(from: inWidth, to: width)
    return withUnsafe { source in
      Tensor([height, width, channels]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        ComputePool.forEach(height, grain: max(1, (1 << 14) / max(width * channels, 1))) { range in
          for y in range {
            let top = from + rows.low[y] * inWidth * channels
            let bottom = from + rows.high[y] * inWidth * channels
            let fy = rows.fraction[y]
            for x in 0..<width {
              let (left, right, fx) = (columns.low[x] * channels, columns.high[x] * channels, columns.fraction[x])
              let target = to + (y * width + x) * channels
              for c in 0..<channels {
                let above = (1 - fx) * top[left + c] + fx * top[right + c]
                let below = (1 - fx) * bottom[left + c] + fx * bottom[right + c]
                target[c] = (1 - fy) * above + fy * below
              }
            }
          }
        }
      }
    }
  }
}

/// For each output position the two input positions around it and how far it lies towards the second.
public struct BilinearTaps: Sendable {
  public let low: [Int]
  public let high: [Int]
  public let fraction: [Float]

  public init(from input: Int, to output: Int) {
    let scale = Float(input) / Float(output)
    var (low, high, fraction) = ([Int](), [Int](), [Float]())
    for i in 0..<output {
      let source = max((Float(i) + 0.5) * scale - 0.5, 0)
      let base = min(Int(source), input - 1)
      low.append(base)
      high.append(min(base + 1, input - 1))
      fraction.append(source - Float(base))
    }
    (self.low, self.high, self.fraction) = (low, high, fraction)
  }
}
