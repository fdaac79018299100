import CKernels

extension Tensor {
  /// The softmax of a part of each row, still to be joined with other parts: `exp(x − top)`, in place. `[R, N]`.
  ///
  /// - Returns: each row's greatest number and its sum of exponentials.
  public mutating func exponentiateRows() -> (tops: [Float], sums: [Float]) {
    let columns = lastAxis
    let rows = columns > 0 ? count / columns : 0
    var tops = [Float](repeating: -.infinity, count: rows)
    var (sums, shrink) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      kernels.softmax_step(base, rows, columns, columns, &tops, &sums, &shrink)
    }
    return (tops, sums)
  }

  /// The softmax of each column over groups of rows, in place. `[groups·terms, N]`.
  public mutating func softmaxDown(groups: Int) {
    let columns = lastAxis
    let terms = count / max(columns * groups, 1)
    precondition(groups * terms * columns == count && terms > 0)
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      kernels.softmax_columns(base, groups, terms, columns)
    }
  }

  /// `[N, M]` → `[M, N]`.
  public func transposed() -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    return withUnsafe { source in
      Tensor([columns, rows]) { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        // Sixteen rows at a time: what is written together is a cache line.
        for top in stride(from: 0, to: rows, by: 16) {
          for x in 0..<columns {
            for y in top..<min(top + 16, rows) { to[x * rows + y] = from[y * columns + x] }
          }
        }
      }
    }
  }
}

/// Rows of logits on their way to masks.
public enum LogitRow {
  /// `(1 − fraction) · above + fraction · below`, each step rounded to float32.
  public static func blend(
    _ above: UnsafePointer<Float>, _ below: UnsafePointer<Float>, _ fraction: Float, _ count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    kernels.blend(above, below, fraction, target, count)
  }

  /// One where a logit is above 0.
  ///
  /// - Returns: how many are above 0, above `offset` and above `-offset`.
  public static func cut(
    _ row: UnsafePointer<Float>, offset: Float, _ count: Int, into bits: UnsafeMutablePointer<UInt8>
  ) -> (inside: Int, inner: Int, outer: Int) {
    var counts = (0, 0, 0)
    withUnsafeMutableBytes(of: &counts) { bytes in
      kernels.cut(row, offset, count, bits, bytes.baseAddress?.assumingMemoryBound(to: Int.self))
    }
    return (inside: counts.0, inner: counts.1, outer: counts.2)
  }
}
