import CKernels
import Foundation
import Testing

@testable import Tensors

/// Tiles, the products made of them, and attention by blocks, against float64.
@Suite struct ProductTests {
  /// Every height of a strip, in every set of kernels, with columns and rows that do not fill their panel.
  @Test(arguments: [1, 2, 3, 31, 130]) func tilesAreTheProduct(inner: Int) {
    for set in KernelTests.sets {
      let width = set.tile_columns
      for count in 1...set.tile_rows {
        let (rows, columns) = (set.strip_rows(count), width - 3)
        #expect(rows >= count && rows <= set.tile_rows && set.strip_rows(rows) == rows)
        let a = KernelTests.noise(count * (inner + 1), seed: 2)
        let b = KernelTests.noise(inner * (columns + 2), seed: 3)
        let turned = KernelTests.noise(columns * (inner + 3), seed: 4)
        var strip = [Float](repeating: .nan, count: inner * rows)
        set.pack_rows(a, inner + 1, count, rows, inner, &strip)
        for (byRows, adds) in [(false, false), (true, true)] {
          var panel = [Float](repeating: .nan, count: inner * width)
          if byRows {
            set.pack_rows(turned, inner + 3, columns, width, inner, &panel)
          } else {
            set.pack_columns(b, columns + 2, columns, width, inner, &panel)
          }
          let stride = width + 5
          var c = [Float](repeating: 2, count: rows * stride)
          set.tile(rows, strip, panel, inner, &c, stride, adds ? 1 : 0)
          for i in 0..<rows {
            for j in 0..<width {
              var exact = adds ? 2.0 : 0
              if i < count, j < columns {
                for k in 0..<inner {
                  exact +=
                    Double(a[i * (inner + 1) + k])
                    * Double(byRows ? turned[j * (inner + 3) + k] : b[k * (columns + 2) + j])
                }
              }
              #expect(abs(Double(c[i * stride + j]) - exact) < 1e-4, "\(String(cString: set.name)) \(count)×\(inner)")
            }
          }
        }
      }
    }
  }

  @Test(arguments: [(32, 16, 700), (131, 97, 700), (300, 33, 513), (57, 1030, 256)], [true, false])
  func largeProductsAreTiled(size: (Int, Int, Int), transposed: Bool) {
    let (rows, columns, inner) = size
    let (a, b) = (KernelTests.noise(rows * inner, scale: 1), KernelTests.noise(columns * inner, scale: 1, seed: 2))
    for adds in [false, true] {
      var c = [Float](repeating: 3, count: rows * columns)
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          c.withUnsafeMutableBufferPointer { c in
            guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
            TiledProduct(
              transposeB: transposed, rows: rows, columns: columns, inner: inner, a: a, strideA: inner, b: b,
              strideB: transposed ? inner : columns, adds: adds, c: c, strideC: columns
            ).run()
          }
        }
      }
      var worst = 0.0
      for i in 0..<rows {
        for j in 0..<columns {
          var exact = adds ? 3.0 : 0
          for k in 0..<inner {
            exact += Double(a[i * inner + k]) * Double(transposed ? b[j * inner + k] : b[k * columns + j])
          }
          worst = max(worst, abs(Double(c[i * columns + j]) - exact))
        }
      }
      #expect(worst < 1e-4)
    }
  }

  enum Bias: CaseIterable { case none, table, causal, blocks }

  /// More queries than a job takes and more keys than a block holds.
  @Test(arguments: Bias.allCases, [1, 2]) func attentionByBlocksIsTheWhole(kind: Bias, keyHeads: Int) {
    let (n, m, heads, d, e) = (131, 1100, 2, 24, 40)
    let q = Tensor([1, n, heads * d], KernelTests.noise(n * heads * d, scale: 2))
    let k = Tensor([1, m, keyHeads * d], KernelTests.noise(m * keyHeads * d, scale: 2, seed: 2))
    let v = Tensor([1, m, keyHeads * e], KernelTests.noise(m * keyHeads * e, scale: 1, seed: 3))
    let table = Tensor([heads, n, m], KernelTests.noise(heads * n * m, scale: 3, seed: 4))
    let bias: AttentionBias =
      switch kind {
      case .none: .none
      case .table: .table(table)
      // The first queries see nothing of the later blocks, the last ones all.
      case .causal: .causal(offset: m - n - 3)
      case .blocks:
        .blocks { scores in
          for i in scores.queries {
            let row = scores.row(i)
            for (j, key) in scores.keys.enumerated() { row[j] += table[scores.head, i, key] }
          }
        }
      }
    let out = Tensor.attention(
      queries: q, keys: k, values: v, heads: heads, keyHeads: keyHeads, scale: 0.3, bias: bias)
    for head in 0..<heads {
      let keyHead = head / (heads / keyHeads)
      for i in 0..<n {
        var scores = (0..<m).map { j in
          (0..<d).reduce(0.0) { $0 + Double(q[0, i, head * d + $1]) * Double(k[0, j, keyHead * d + $1]) } * 0.3
        }
        switch kind {
        case .none: break
        case .table, .blocks: for j in 0..<m { scores[j] += Double(table[head, i, j]) }
        case .causal: for j in (m - n - 3 + i + 1)..<m { scores[j] = -.infinity }
        }
        let top = scores.max() ?? 0
        let weights = scores.map { exp($0 - top) }
        let total = weights.reduce(0, +)
        for c in 0..<e {
          let exact = (0..<m).reduce(0.0) { $0 + weights[$1] * Double(v[0, $1, keyHead * e + c]) } / total
          #expect(abs(Double(out[0, i, head * e + c]) - exact) < 1e-4)
        }
      }
    }
  }
}
