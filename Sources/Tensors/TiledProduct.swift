import CKernels

/// `C (+)= A · B` by tiles, on all threads: `A [rows, inner]`, `C [rows, columns]`, row-major with row strides.
///
/// Each job packs some rows of A into strips as high as a tile, which stay in the second cache, and runs them along B's panels.
/// What is to be done to a finished sum is done while its tile is in the first cache.
struct TiledProduct {
  let rows: Int
  let a: UnsafePointer<Float>
  let strideA: Int
  let b: PackedMatrix
  let adds: Bool
  var finish = Finish()
  let c: UnsafeMutablePointer<Float>
  let strideC: Int

  /// What becomes of the sums: `activation(sum + bias)`.
  struct Finish {
    /// `[columns]`
    var bias: UnsafePointer<Float>?
    var activation: Activation?

    func callAsFunction(_ c: UnsafeMutablePointer<Float>, _ rows: Int, _ stride: Int, _ columns: Range<Int>) {
      guard bias != nil || activation != nil else { return }
      let code =
        switch activation {
        case .gelu: ck_gelu
        case .relu: ck_relu
        case nil: ck_no_activation
        }
      kernels.finish(c, rows, columns.count, stride, bias.map { $0 + columns.lowerBound }, code)
    }
  }

  private static let stripBytesPerJob = 5 << 15

  func run() {
    let tiles = b.tiles
    let (height, width) = (Int(tiles.rows), Int(tiles.columns))
    let panels = (b.columns + width - 1) / width
    let strips = (rows + height - 1) / height
    let stripBytes = Int(tiles.strip_bytes(height, b.stretch))
    let stripsPerJob = min(max(1, Self.stripBytesPerJob / stripBytes), strips)
    let rowJobs = (strips + stripsPerJob - 1) / stripsPerJob
    // Too few rows for all threads to end together: each job takes some of the panels, and packs the strips for itself.
    let jobs = ComputePool.isInside ? 1 : 4 * ComputePool.threads
    let columnJobs = min(panels, (jobs + rowJobs - 1) / rowJobs)
    ComputePool.forEach(rowJobs * columnJobs, grain: 1) { part in
      let memory = Buffer(bytes: stripsPerJob * stripBytes)
      let spare = Buffer(uninitialized: height * width)
      for job in part {
        let (rowJob, columnJob) = (job / columnJobs, job % columnJobs)
        let top = rowJob * stripsPerJob * height
        run(
          rows: top..<min(rows, top + stripsPerJob * height),
          panels: columnJob * panels / columnJobs..<(columnJob + 1) * panels / columnJobs,
          strips: memory.bytes, stripBytes, spare.base)
      }
    }
  }

  private func run(
    rows: Range<Int>, panels: Range<Int>, strips: UnsafeMutableRawPointer, _ stripBytes: Int,
    _ spare: UnsafeMutablePointer<Float>
  ) {
    let tiles = b.tiles
    let (height, width) = (Int(tiles.rows), Int(tiles.columns))
    for first in stride(from: 0, to: b.inner, by: b.stretch) {
      let length = min(b.stretch, b.inner - first)
      for (strip, top) in stride(from: rows.lowerBound, to: rows.upperBound, by: height).enumerated() {
        let count = min(height, rows.upperBound - top)
        tiles.pack_strip(
          a + top * strideA + first, strideA, count, tiles.strip_rows(count), length, strips + strip * stripBytes)
      }
      let keeps: Int32 = adds || first > 0 ? 1 : 0
      let isLast = first + length == b.inner
      for panel in panels {
        let (from, column) = (b.panel(panel, from: first), panel * width)
        let visible = min(width, b.columns - column)
        for (strip, top) in stride(from: rows.lowerBound, to: rows.upperBound, by: height).enumerated() {
          let count = min(height, rows.upperBound - top)
          let padded = tiles.strip_rows(count)
          let target = c + top * strideC + column
          if padded == count, visible == width {
            tiles.multiply(padded, strips + strip * stripBytes, from, length, target, strideC, keeps)
          } else {
            // At the edges the tile is larger than what is left of C.
            if keeps == 1 { copy(spare, width, target, strideC, count, visible) }
            tiles.multiply(padded, strips + strip * stripBytes, from, length, spare, width, keeps)
            copy(target, strideC, spare, width, count, visible)
          }
          if isLast { finish(target, count, strideC, column..<column + visible) }
        }
      }
    }
  }

  private func copy(
    _ to: UnsafeMutablePointer<Float>, _ toStride: Int, _ from: UnsafePointer<Float>, _ fromStride: Int, _ rows: Int,
    _ columns: Int
  ) {
    for row in 0..<rows { (to + row * toStride).update(from: from + row * fromStride, count: columns) }
  }
}
