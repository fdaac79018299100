import CKernels

extension Tensor {
  /// Adds a transformer's feed-forward layers in place, `narrow(gelu(widen(x)))`, some rows at a time: what is between them is
  /// several times as wide and stays in the last cache so.
  ///
  /// - Parameters:
  ///   - x: `[…, K]`, as many rows as this has.
  ///   - widen: `[K, W]`; narrow: `[W, C]`. Their biases `[W]` and `[C]`.
  public mutating func addFeedForward(
    _ x: Tensor, widen: PackedMatrix, _ widenBias: Tensor?, narrow: PackedMatrix, _ narrowBias: Tensor?
  ) {
    let rows = x.count / widen.inner
    precondition(x.lastAxis == widen.inner && widen.columns == narrow.inner && narrow.columns == lastAxis)
    precondition(rows * narrow.columns == count)
    let span = Profile.begin(.feedForward(rows, widen, narrow))
    defer { Profile.end(span) }
    let run = max(1024, (1 << 20) / widen.columns)
    let flat = x.reshaped([rows, widen.inner])
    withUnsafeMutable { all in
      for first in stride(from: 0, to: rows, by: run) {
        let part = first..<Swift.min(rows, first + run)
        let hidden = flat.rows(part).multiplied(by: widen, bias: widenBias, activation: .gelu)
        hidden.tiled(
          narrow, narrowBias, nil, adds: true,
          UnsafeMutableBufferPointer(rebasing: all[part.lowerBound * narrow.columns..<part.upperBound * narrow.columns])
        )
      }
    }
  }
}
