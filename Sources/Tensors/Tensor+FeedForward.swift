import CKernels

extension Tensor {
  /// What a thread keeps of the wide layer, in numbers: 256 KiB, beside weights in the second cache.
  private static let wideNumbers = 1 << 16

  /// Adds a transformer's feed-forward layers in place, `narrow(gelu(widen(x)))`. What is between them is several times as wide, so it is
  /// made for some rows at a time: for each thread as many as its second cache holds, or for all of them what the last one
  /// holds, where that would be too few to be worth a pass over the weights.
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
    let own = Self.wideNumbers / widen.columns
    let isEach = own >= 40
    let run = isEach ? own : max(1024, (1 << 20) / widen.columns)
    let flat = x.reshaped([rows, widen.inner])
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      func add(_ part: Range<Int>) {
        let hidden = flat.rows(part).multiplied(by: widen, bias: widenBias, activation: .gelu)
        hidden.tiled(
          narrow, narrowBias, nil, adds: true,
          UnsafeMutableBufferPointer(start: base + part.lowerBound * narrow.columns, count: part.count * narrow.columns)
        )
      }
      let parts = (rows + run - 1) / run
      func part(_ i: Int) -> Range<Int> { i * rows / parts..<(i + 1) * rows / parts }
      if isEach {
        ComputePool.forEach(parts, grain: 1) { for i in $0 { add(part(i)) } }
      } else {
        for i in 0..<parts { add(part(i)) }
      }
    }
  }
}
