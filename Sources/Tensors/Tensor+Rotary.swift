extension Tensor {
  /// Rotary positions in the half-split form of Hugging Face's LLaMA, in place: of each head's d numbers, number `i` and
  /// number `i + d/2` turn together by the angle of row and `i`.
  ///
  /// - Parameter cosines: `[N, d/2]`, as is `sines`; this tensor is `[N, heads·d]`.
  public mutating func rotateHalves(cosines: Tensor, sines: Tensor, heads: Int) {
    let (n, width) = (shape[0], shape[1])
    let half = width / heads / 2
    precondition(half * 2 * heads == width && cosines.shape == [n, half] && sines.shape == [n, half])
    withUnsafeMutable { x in
      cosines.withUnsafe { cosines in
        sines.withUnsafe { sines in
          guard let x = x.baseAddress, let cosines = cosines.baseAddress, let sines = sines.baseAddress else { return }
          ComputePool.forEach(n, grain: max(1, (1 << 14) / max(width, 1))) { rows in
            for row in rows {
              let (c, s) = (cosines + row * half, sines + row * half)
              for head in 0..<heads {
                let low = x + row * width + head * 2 * half
                let high = low + half
                for i in 0..<half {
                  let (a, b) = (low[i], high[i])
                  low[i] = a * c[i] - b * s[i]
                  high[i] = b * c[i] + a * s[i]
                }
              }
            }
          }
        }
      }
    }
  }
}
