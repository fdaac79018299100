import CKernels

/// Rows of keys or values that attention reads one stretch after the other, as if they lay in one tensor: a cached
/// prefix that many sequences share, then what each has of its own.
public struct KeyValueSegment: Sendable {
  /// `[capacity, keyHeads·d]`, of which the first `count` rows are in use.
  public let keys: Tensor
  public let values: Tensor
  public let count: Int

  public init(keys: Tensor, values: Tensor, count: Int) {
    precondition(keys.shape == values.shape && count >= 0 && count <= keys.shape[0])
    (self.keys, self.values, self.count) = (keys, values, count)
  }
}

extension Tensor {
  /// Causal attention of a sequence's newest tokens over everything before them, without joining the segments.
  ///
  /// - Parameters:
  ///   - queries: `[N, heads·d]`: the last N of the `M = Σ count` positions that the segments hold.
  ///   - segments: the sequence in order; all positions, the queries' own included.
  ///   - keyHeads: divides `heads`; query head h reads key head `h / (heads / keyHeads)`.
  /// - Returns: `[N, heads·d]`.
  public static func causalAttention(
    queries: Tensor, segments: [KeyValueSegment], heads: Int, keyHeads: Int, scale: Float
  ) -> Tensor {
    let (n, width) = (queries.shape[0], queries.shape[1])
    let d = width / heads
    let keyWidth = keyHeads * d
    let m = segments.reduce(0) { $0 + $1.count }
    precondition(d * heads == width && heads % keyHeads == 0 && m >= n)
    for segment in segments { precondition(segment.keys.shape[1] == keyWidth) }

    // Rows are taken in blocks: a block sees no key behind its last row, so half of a long prefill is never computed.
    let block = 128
    return queries.withUnsafe { q in
      Tensor([n, width]) { out in
        guard let q = q.baseAddress, let out = out.baseAddress else { return }
        let blocks = (n + block - 1) / block
        // Side by side only what OpenBLAS itself runs on one thread: its threads inside ours wait for each other, and a
        // long prefill took seven times as long.
        let area = min(n, block) * m
        let sideBySide = area * d <= gemmSingleThreadLimit
        ComputePool.forEach(heads * blocks, grain: sideBySide ? max(1, (1 << 15) / max(area, 1)) : Int.max) { jobs in
          let scores = Buffer(uninitialized: min(n, block) * m)
          for job in jobs {
            let (head, first) = (job / blocks, job % blocks * block)
            let rows = min(block, n - first)
            let visible = m - n + first + rows
            let keyOffset = head / (heads / keyHeads) * d
            let from = q + first * width + head * d
            forEachSegment(segments, upTo: visible) { segment, start, count in
              segment.keys.withUnsafe { keys in
                guard let keys = keys.baseAddress else { return }
                gemm(
                  transposeB: true, rows: rows, columns: count, inner: d, alpha: scale, a: from, strideA: width,
                  b: keys + keyOffset, strideB: keyWidth, c: scores.base + start, strideC: visible)
              }
            }
            for i in 0..<rows where i + 1 < rows {
              (scores.base + i * visible + visible - rows + i + 1).update(repeating: -.infinity, count: rows - i - 1)
            }
            kernels.softmax_rows(scores.base, rows, visible)
            forEachSegment(segments, upTo: visible) { segment, start, count in
              segment.values.withUnsafe { values in
                guard let values = values.baseAddress else { return }
                gemm(
                  transposeB: false, rows: rows, columns: d, inner: count, a: scores.base + start, strideA: visible,
                  b: values + keyOffset, strideB: keyWidth, beta: start == 0 ? 0 : 1,
                  c: out + first * width + head * d, strideC: width)
              }
            }
          }
        }
      }
    }
  }

  private static func forEachSegment(
    _ segments: [KeyValueSegment], upTo limit: Int, _ body: (KeyValueSegment, _ start: Int, _ count: Int) -> Void
  ) {
    var start = 0
    for segment in segments {
      let count = min(segment.count, limit - start)
      if count > 0 { body(segment, start, count) }
      start += segment.count
      if start >= limit { return }
    }
  }

  /// Copies `source` over the rows from `row` on, in place. `source [n, …]`, this tensor `[N, …]`, `row + n ≤ N`.
  public mutating func replaceRows(from row: Int, with source: Tensor) {
    let stride = shape.dropFirst().reduce(1, *)
    precondition(source.shape.dropFirst() == shape.dropFirst() && row >= 0 && row + source.shape[0] <= shape[0])
    withUnsafeMutable { to in
      source.withUnsafe { from in
        guard let to = to.baseAddress, let from = from.baseAddress else { return }
        (to + row * stride).update(from: from, count: source.count)
      }
    }
  }
}
