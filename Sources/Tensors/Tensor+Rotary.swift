/// Which two numbers of a head turn together.
public enum RotaryPairing: Sendable, Equatable {
  /// Number `i` and number `i + d/2`, as in Hugging Face's LLaMA.
  case halves
  /// Numbers `2i` and `2i + 1`, as in Meta's own and in llama.cpp, whose files have their rows in that order.
  case neighbours
}

extension Tensor {
  /// Rotary positions, in place: of each head's d numbers, pair `i` turns by the angle of row and `i`.
  ///
  /// - Parameter cosines: `[N, d/2]`, as is `sines`; this tensor is `[N, heads·d]`.
  public mutating func rotate(cosines: Tensor, sines: Tensor, heads: Int, pairing: RotaryPairing) {
    let (n, width) = (shape[0], shape[1])
    let half = width / heads / 2
    precondition(half * 2 * heads == width && cosines.shape == [n, half] && sines.shape == [n, half])
    let (step, gap) = pairing == .halves ? (1, half) : (2, 1)
    withUnsafeMutable { x in
      cosines.withUnsafe { cosines in
        sines.withUnsafe { sines in
          guard let x = x.baseAddress, let cosines = cosines.baseAddress, let sines = sines.baseAddress else { return }
          ComputePool.forEach(n, grain: max(1, (1 << 14) / max(width, 1))) { rows in
            for row in rows {
              let (c, s) = (cosines + row * half, sines + row * half)
              for head in 0..<heads {
                let low = x + row * width + head * 2 * half
                let high = low + gap
                for i in 0..<half {
                  let (a, b) = (low[step * i], high[step * i])
                  low[step * i] = a * c[i] - b * s[i]
                  high[step * i] = b * c[i] + a * s[i]
                }
              }
            }
          }
        }
      }
    }
  }
}
