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
}
