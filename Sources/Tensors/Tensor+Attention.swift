/// What is added to attention scores before the softmax.
public enum AttentionBias {
  case none
  /// One table for every batch entry: `[heads, N, M]`, added to the scaled scores.
  case table(Tensor)
  /// Written by the caller, for scores too large to hold for all heads: called once per (batch, head) with the scaled
  /// scores `[N, M]` to add to.
  case perHead((_ batch: Int, _ head: Int, _ scores: UnsafeMutableBufferPointer<Float>) -> Void)
  /// Query `i` sees keys `0...offset + i`.
  case causal(offset: Int)
}

extension Tensor {
  /// Multi-head attention, `softmax(scale · q kᵀ + bias) v`, head by head.
  ///
  /// - Parameters:
  ///   - queries: `[B, N, heads·d]`; head h is the columns `h·d..<(h+1)·d`.
  ///   - keys: `[B, M, keyHeads·d]`, or `[1, M, …]` shared by the batch. `keyHeads` divides `heads` (grouped queries).
  ///   - values: `[B or 1, M, keyHeads·e]`.
  ///   - heads: of the queries. `keyHeads`: of keys and values, as many unless given.
  /// - Returns: `[B, N, heads·e]`.
  public static func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyHeads: Int? = nil, scale: Float,
    bias: AttentionBias = .none
  ) -> Tensor {
    let keyHeads = keyHeads ?? heads
    let (batch, n, queryWidth) = (queries.shape[0], queries.shape[1], queries.shape[2])
    let (m, keyWidth, valueWidth) = (keys.shape[1], keys.shape[2], values.shape[2])
    let (d, e) = (queryWidth / heads, valueWidth / keyHeads)
    precondition(d * heads == queryWidth && d * keyHeads == keyWidth && e * keyHeads == valueWidth)
    precondition(values.shape[1] == m && heads % keyHeads == 0)
    precondition((keys.shape[0] == batch || keys.shape[0] == 1) && values.shape[0] == keys.shape[0])
    if case .table(let table) = bias { precondition(table.shape == [heads, n, m]) }
    let sharedKeys = keys.shape[0] == 1

    return queries.withUnsafe { q in
      keys.withUnsafe { k in
        values.withUnsafe { v in
          Tensor([batch, n, heads * e]) { out in
            guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress, let out = out.baseAddress else {
              return
            }
            // Small heads run side by side; large ones one after the other, each product on all threads.
            let sideBySide = n * m <= 1 << 15 && n * m * max(d, e) <= gemmSingleThreadLimit
            ComputePool.forEach(batch * heads, grain: sideBySide ? max(1, (1 << 14) / max(n * m, 1)) : Int.max) {
              jobs in
              let scores = Buffer(uninitialized: n * m)
              for job in jobs {
                let (b, head) = (job / heads, job % heads)
                let (keyBatch, keyHead) = (sharedKeys ? 0 : b, head / (heads / keyHeads))
                gemm(
                  transposeB: true, rows: n, columns: m, inner: d, alpha: scale,
                  a: q + b * n * queryWidth + head * d, strideA: queryWidth,
                  b: k + keyBatch * m * keyWidth + keyHead * d, strideB: keyWidth, c: scores.base, strideC: m)
                add(bias, batch: b, head: head, to: scores.base, n: n, m: m)
                kernels.softmax_rows(scores.base, n, m)
                gemm(
                  transposeB: false, rows: n, columns: e, inner: m,
                  a: scores.base, strideA: m, b: v + keyBatch * m * valueWidth + keyHead * e, strideB: valueWidth,
                  c: out + b * n * heads * e + head * e, strideC: heads * e)
              }
            }
          }
        }
      }
    }
  }

  private static func add(
    _ bias: AttentionBias, batch: Int, head: Int, to scores: UnsafeMutablePointer<Float>, n: Int, m: Int
  ) {
    switch bias {
    case .none: break
    case .table(let table):
      table.withUnsafe { rows in
        guard let base = rows.baseAddress else { return }
        kernels.add(scores, base + head * n * m, n * m)
      }
    case .perHead(let write): write(batch, head, UnsafeMutableBufferPointer(start: scores, count: n * m))
    case .causal(let offset):
      for i in 0..<n where offset + i + 1 < m {
        (scores + i * m + offset + i + 1).update(repeating: -.infinity, count: m - offset - i - 1)
      }
    }
  }
}
