import CKernels

/// Rows of logits on their way to masks.
public enum LogitRow {
  /// `(1 − fraction) · above + fraction · below`, each step rounded to float32.
  public static func blend(
    _ above: UnsafePointer<Float>, _ below: UnsafePointer<Float>, _ fraction: Float, _ count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    kernels.blend(above, below, fraction, target, count)
  }

  /// A row at another length: the first `count` numbers that `taps` make of it.
  public static func stretch(
    _ source: UnsafePointer<Float>, _ taps: BilinearTaps, _ count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    precondition(count <= taps.low.count)
    kernels.stretch(source, taps.low, taps.high, taps.fraction, target, count)
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
