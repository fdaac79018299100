import CKernels

/// `C (+)= A · B` by tiles, on all threads: `A [rows, inner]`, `B [inner, columns]` or, transposed, `[columns, inner]`,
/// `C [rows, columns]`, row-major with row strides.
///
/// B is packed once for a stretch of `inner`, by panels as wide as a tile, and shared by all; each job packs some rows of A into strips
/// as high as a tile and runs them along the panels. A job's strips stay in the second cache, the panel at hand in
/// part of the first.
struct TiledProduct {
  let transposeB: Bool
  let rows: Int
  let columns: Int
  let inner: Int
  let a: UnsafePointer<Float>
  let strideA: Int
  let b: UnsafePointer<Float>
  let strideB: Int
  let adds: Bool
  let c: UnsafeMutablePointer<Float>
  let strideC: Int

  /// Shorter runs of sums also round less.
  private static let stretch = 256
  private static let stripsPerJob = 8
  private let height = Int(kernels.tile_rows)
  private let width = Int(kernels.tile_columns)

  func run() {
    let panels = (columns + width - 1) / width
    let packed = Buffer(uninitialized: panels * width * min(inner, Self.stretch))
    let strips = (rows + height - 1) / height
    let stripsPerJob = min(Self.stripsPerJob, strips)
    let rowJobs = (strips + stripsPerJob - 1) / stripsPerJob
    // Too few rows for all threads: each job takes some of the panels.
    let columnJobs = min(panels, max(1, 2 * ComputePool.threads / rowJobs))
    for first in stride(from: 0, to: inner, by: Self.stretch) {
      let length = min(Self.stretch, inner - first)
      ComputePool.forEach(panels, grain: max(1, (1 << 15) / (width * length))) { part in
        for panel in part { pack(panel, first, length, packed.base + panel * width * length) }
      }
      ComputePool.forEach(rowJobs * columnJobs, grain: 1) { part in
        let strip = Buffer(uninitialized: stripsPerJob * height * length)
        let spare = Buffer(uninitialized: height * width)
        for job in part {
          let (rowJob, columnJob) = (job / columnJobs, job % columnJobs)
          let top = rowJob * stripsPerJob * height
          run(
            rows: top..<min(rows, top + stripsPerJob * height),
            panels: columnJob * panels / columnJobs..<(columnJob + 1) * panels / columnJobs,
            first, length, packed.base, strip.base, spare.base)
        }
      }
    }
  }

  private func pack(_ panel: Int, _ first: Int, _ length: Int, _ out: UnsafeMutablePointer<Float>) {
    let column = panel * width
    let count = min(width, columns - column)
    if transposeB {
      kernels.pack_rows(b + column * strideB + first, strideB, count, width, length, out)
    } else {
      kernels.pack_columns(b + first * strideB + column, strideB, count, width, length, out)
    }
  }

  private func run(
    rows: Range<Int>, panels: Range<Int>, _ first: Int, _ length: Int, _ packed: UnsafeMutablePointer<Float>,
    _ strips: UnsafeMutablePointer<Float>, _ spare: UnsafeMutablePointer<Float>
  ) {
    for top in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
      let count = min(height, rows.upperBound - top)
      kernels.pack_rows(
        a + top * strideA + first, strideA, count, kernels.strip_rows(count), length,
        strips + (top - rows.lowerBound) * length)
    }
    let keeps: Int32 = adds || first > 0 ? 1 : 0
    for panel in panels {
      let (from, column) = (packed + panel * width * length, panel * width)
      let visible = min(width, columns - column)
      for top in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
        let count = min(height, rows.upperBound - top)
        let padded = kernels.strip_rows(count)
        let strip = strips + (top - rows.lowerBound) * length
        let target = c + top * strideC + column
        if padded == count, visible == width {
          kernels.tile(padded, strip, from, length, target, strideC, keeps)
          continue
        }
        // At the edges the tile is larger than what is left of C.
        if keeps == 1 { copy(spare, width, target, strideC, count, visible) }
        kernels.tile(padded, strip, from, length, spare, width, keeps)
        copy(target, strideC, spare, width, count, visible)
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
