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

  /// `Σ weight · values`, of each head its own columns.
  ///
  /// - Parameters:
  ///   - values: the cells' `[cells, heads·e]`.
  ///   - out: `[rows, e]`, rows `outStride` apart.
  public func mix(
    _ values: Panels, heads: Int, width e: Int, into out: UnsafeMutablePointer<Float>, stride outStride: Int
  ) {
    let (w, tiles) = (Panels.width, Precision.fp32.tiles)
    let (terms, height) = (rows / heads, Strips.slack)
    let strip = Buffer(bytes: Int(tiles.strip_bytes(height, cells)))
    let sums = Buffer(uninitialized: height * w)
    for head in 0..<heads {
      for first in Swift.stride(from: 0, to: terms, by: height) {
        let (row, count) = (head * terms + first, min(height, terms - first))
        let padded = Int(tiles.strip_rows(count))
        tiles.pack_strip(weights + row * stride, stride, count, padded, cells, strip.bytes)
        let columns = head * e..<(head + 1) * e
        for panel in columns.lowerBound / w...(columns.upperBound - 1) / w {
          tiles.multiply(padded, strip.bytes, values[panel], cells, sums.base, w, 0)
          let mine = max(columns.lowerBound, panel * w)..<min(columns.upperBound, (panel + 1) * w)
          for i in 0..<count {
            (out + (row + i) * outStride + mine.lowerBound - columns.lowerBound).update(
              from: sums.base + i * w + mine.lowerBound - panel * w, count: mine.count)
          }
        }
      }
    }
  }

  /// `Σ weight · z`.
  ///
  /// - Parameters:
  ///   - z: the cells' numbers in columns, `[J, cells]`.
  ///   - out: `[rows, J]`, rows `outStride` apart.
  public func mix(columns z: Panels, into out: UnsafeMutablePointer<Float>, stride outStride: Int) {
    let (w, tiles, height) = (Panels.width, Precision.fp32.tiles, Strips.slack)
    let stripBytes = Int(tiles.strip_bytes(height, cells))
    let count = (rows + height - 1) / height
    let strips = Buffer(bytes: count * stripBytes)
    for strip in 0..<count {
      let here = min(height, rows - strip * height)
      tiles.pack_strip(
        weights + strip * height * stride, stride, here, tiles.strip_rows(here), cells,
        strips.bytes + strip * stripBytes)
    }
    // Cells in rows, for so many of their numbers at a time.
    let turned = Buffer(uninitialized: z.count * w * w)
    let sums = Buffer(uninitialized: height * w)
    for first in Swift.stride(from: 0, to: z.rows, by: w) {
      let columns = min(w, z.rows - first)
      for panel in 0..<z.count {
        tiles.pack_panel_rows(z[panel] + first * w, w, columns, w, turned.base + panel * w * w)
      }
      for strip in 0..<count {
        let here = min(height, rows - strip * height)
        tiles.multiply(
          tiles.strip_rows(here), strips.bytes + strip * stripBytes, turned.base, cells, sums.base, w, 0)
        for i in 0..<here {
          (out + (strip * height + i) * outStride + first).update(from: sums.base + i * w, count: columns)
        }
      }
    }
  }
}
