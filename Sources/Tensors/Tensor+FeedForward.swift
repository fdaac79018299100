import CKernels

extension Tensor {
  /// What a thread keeps of the wide layer in its second cache, in numbers; three strips' rows in any case.
  private static let wideNumbers = 1 << 16
  private static let leastRows = 42
  /// Weights that come from the last cache fast enough for so few rows at a time, in bytes.
  private static let weightBytes = 5 << 20

  /// Adds a transformer's feed-forward layers in place, `narrow(gelu(widen(x)))`. What is between them is several times as wide, so it is
  /// made for some rows at a time: for each thread what its second cache holds; or, where so few rows would be waiting for large weights,
  /// for all of them what the last cache holds.
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
    let isEach = widen.byteCount + narrow.byteCount <= Self.weightBytes
    let run =
      isEach
      ? max(Self.leastRows, Self.wideNumbers / widen.columns) : max(1024, 16 * Self.wideNumbers / widen.columns)
    let flat = x.reshaped([rows, widen.inner])
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      func add(_ part: Range<Int>) {
        let hidden = Tensor([part.count, widen.columns]) {
          flat.rows(part).tiled(widen, widenBias, .gelu, adds: false, $0)
        }
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
