import CKernels

/// What goes down the columns of a panel, in place: each of its columns is a cell's, a pixel's numbers.
public enum Columns {
  public typealias Numbers = UnsafeMutablePointer<Float>

  /// `x[r, i] · factors[i]`, rows `stride` apart.
  public static func scale(
    _ x: Numbers, rows: Int, columns: Int = Panels.width, stride: Int = Panels.width, by factors: UnsafePointer<Float>
  ) {
    kernels.scale_columns(x, rows, columns, stride, factors)
  }

  /// `(x[r, i] + y[r, i]) · factors[i] + offsets[r]`.
  public static func add(
    _ y: UnsafePointer<Float>, to x: Numbers, rows: Int, scaledBy factors: UnsafePointer<Float>,
    plus offsets: UnsafePointer<Float>
  ) {
    kernels.join_columns(x, y, rows, Panels.width, factors, offsets)
  }

  /// The softmax over each group of `terms` rows.
  public static func softmax(_ x: Numbers, groups: Int, terms: Int) {
    kernels.softmax_columns(x, groups, terms, Panels.width)
  }

  /// `sums[i] += Σᵣ x[r, i] · y[r, i]`.
  public static func addProducts(of x: Numbers, _ y: Numbers, rows: Int, to sums: Numbers) {
    kernels.dot_columns(x, y, rows, Panels.width, sums)
  }

  public static func layerNorm(
    _ x: Numbers, rows: Int, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, epsilon: Float
  ) {
    kernels.norm_columns(x, rows, Panels.width, weight, bias, epsilon)
  }

  public static func gelu(_ x: Numbers, rows: Int) { kernels.gelu(x, rows * Panels.width) }

  /// `GELU(x[r, i] + offsets[r])`.
  public static func gelu(_ x: Numbers, rows: Int, plus offsets: UnsafePointer<Float>) {
    kernels.gelu_columns(x, rows, Panels.width, offsets)
  }

  /// `[a[0], b[0], c[0], d[0], a[1], …]`.
  public static func interleave(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>, _ d: UnsafePointer<Float>,
    count: Int, into y: Numbers
  ) {
    kernels.interleave(a, b, c, d, count, y)
  }
}

/// The softmax of rows over a block of cells, still to be joined with other blocks': `exp(score − top)`, in rows that stand
/// `stride` apart.
public struct BlockSoftmax {
  /// Of each row: its greatest score, and the sum of exponentials.
  public let tops: [Float]
  public let sums: [Float]
  private let weights: UnsafeMutablePointer<Float>
  private let rows: Int
  private let cells: Int
  private let stride: Int

  /// - Parameter scores: `[rows, cells]`, overwritten; they outlive this.
  public init(_ scores: UnsafeMutablePointer<Float>, rows: Int, cells: Int, stride: Int) {
    var tops = [Float](repeating: -.infinity, count: rows)
    var (sums, shrink) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
    kernels.softmax_step(scores, rows, cells, stride, &tops, &sums, &shrink)
    (self.tops, self.sums, weights) = (tops, sums, scores)
    (self.rows, self.cells, self.stride) = (rows, cells, stride)
  }

  /// Multiplies each cell's weights by a factor.
  public func scale(by factors: UnsafePointer<Float>) {
    Columns.scale(weights, rows: rows, columns: cells, stride: stride, by: factors)
  }

  /// `Σ weight · z`, of each head its own rows: `[heads·T, rows / heads]`.
  ///
  /// - Parameters:
  ///   - z: the cells' numbers in columns, `[rows, cells]`.
  ///   - out: `[heads·T, rows / heads]`, rows `outStride` apart.
  public func mix(
    _ z: Panels, heads: Int = 1, into out: UnsafeMutablePointer<Float>, stride outStride: Int
  ) {
    let (terms, own) = (rows / heads, z.rows / heads)
    for head in 0..<heads {
      kernels.weigh_columns(
        weights + head * terms * stride, stride, terms, z[0] + head * own * Panels.width, Panels.width, z.rows, own,
        cells,
        out + head * terms * outStride, outStride)
    }
  }
}
