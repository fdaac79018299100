import CKernels
import Foundation
import Testing

@testable import Tensors

/// Tiles, the products made of them, and attention by blocks, against float64.
@Suite struct ProductTests {
  /// A vector as a precision rounds it, in plain arithmetic.
  static func rounded(_ x: [Float], _ precision: Precision) -> [Double] {
    switch precision {
    case .fp32: return x.map(Double.init)
    case .bf16:
      return x.map { number in
        let bits = number.bitPattern
        return Double(Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
      }
    case .int8:
      let top = x.map(abs).max() ?? 0
      guard top > 0 else { return x.map { _ in 0 } }
      return x.map { Double(($0 * (127 / top)).rounded(.toNearestOrEven)) * Double(top / 127) }
    }
  }

  static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  /// Every height of a strip, in every set of kernels, with columns and rows that do not fill their panel.
  @Test(arguments: [1, 2, 3, 31, 130], Precision.allCases) func tilesAreTheProduct(inner: Int, precision: Precision) {
    for tiles in Precision.availableTiles(precision) {
      let (width, columns) = (Int(tiles.columns), Int(tiles.columns) - 3)
      let turned = KernelTests.noise(columns * (inner + 3), seed: 4)
      let b = KernelTests.noise(inner * (columns + 2), seed: 3)
      for count in 1...Int(tiles.rows) {
        let rows = tiles.strip_rows(count)
        #expect(rows >= count && rows <= tiles.rows && tiles.strip_rows(rows) == rows)
        let a = KernelTests.noise(count * (inner + 1), seed: 2)
        let strip = Buffer(bytes: Int(tiles.strip_bytes(rows, inner)))
        let aColumns = (0..<inner * (count + 2)).map { i in
          let (k, row) = (i / (count + 2), i % (count + 2))
          return row < count ? a[row * (inner + 1) + k] : 9
        }
        let panel = Buffer(bytes: Int(tiles.panel_bytes(inner)))
        for (byRows, adds) in [(false, false), (true, true)] {
          if adds {
            tiles.pack_strip(a, inner + 1, count, rows, inner, strip.bytes)
          } else {
            tiles.pack_strip_columns(aColumns, count + 2, count, rows, inner, strip.bytes)
          }
          if byRows {
            tiles.pack_panel_rows(turned, inner + 3, columns, inner, panel.bytes)
          } else {
            tiles.pack_panel_columns(b, columns + 2, columns, inner, panel.bytes)
          }
          let stride = width + 5
          var c = [Float](repeating: 2, count: rows * stride)
          tiles.multiply(rows, strip.bytes, panel.bytes, inner, &c, stride, adds ? 1 : 0)
          for i in 0..<count {
            let left = Self.rounded((0..<inner).map { a[i * (inner + 1) + $0] }, precision)
            for j in 0..<width {
              var exact = adds ? 2.0 : 0
              if j < columns {
                let column = (0..<inner).map { byRows ? turned[j * (inner + 3) + $0] : b[$0 * (columns + 2) + j] }
                exact += Self.dot(left, Self.rounded(column, precision))
              }
              #expect(
                abs(Double(c[i * stride + j]) - exact) < 1e-4,
                "\(precision) \(String(cString: tiles.name)) \(count)×\(inner)")
            }
          }
        }
      }
    }
  }

  /// More than a stretch, a job and a panel hold, and a little more than nothing.
  @Test(arguments: [(32, 16, 700), (131, 97, 2500), (300, 33, 513), (57, 1030, 256), (3, 5, 7)], Precision.allCases)
  func largeProductsAreTiled(size: (Int, Int, Int), precision: Precision) {
    let (rows, columns, inner) = size
    let (a, b) = (KernelTests.noise(rows * inner, scale: 1), KernelTests.noise(columns * inner, scale: 1, seed: 2))
    let bias = KernelTests.noise(columns, scale: 1, seed: 3)
    let x = Tensor([rows, inner], a)
    for transposed in [false, true] {
      let matrix =
        transposed
        ? PackedMatrix(transposing: Tensor([columns, inner], b), precision)
        : PackedMatrix(Tensor([inner, columns], b), precision)
      let product = x.multiplied(by: matrix, bias: Tensor([columns], bias), activation: .relu)
      var sum = Tensor([rows, columns], repeating: 3)
      sum.add(x, multipliedBy: matrix, bias: nil)
      var (worst, worstSum, scale) = (0.0, 0.0, 0.0)
      for i in 0..<rows {
        let row = a[i * inner..<(i + 1) * inner].map(Double.init)
        for j in 0..<columns {
          let exact = Self.dot(row, (0..<inner).map { Double(transposed ? b[j * inner + $0] : b[$0 * columns + j]) })
          scale = max(scale, abs(exact))
          worst = max(worst, abs(Double(product[i, j]) - max(0, exact + Double(bias[j]))))
          worstSum = max(worstSum, abs(Double(sum[i, j]) - exact - 3))
        }
      }
      let limit = precision == .fp32 ? 1e-5 : precision == .bf16 ? 5e-3 : 2e-2
      #expect(worst < limit * scale + 1e-6 && worstSum < limit * scale + 1e-6, "\(worst), \(worstSum) of \(scale)")
    }
  }

  /// A row of nothing, a huge number, and no number at all must neither trap nor spoil other rows.
  @Test(arguments: Precision.allCases) func oddNumbersStayInTheirRow(precision: Precision) {
    var a = KernelTests.noise(40 * 64, scale: 1)
    for i in 0..<64 { a[i] = 0 }
    a[64] = .nan
    a[128] = .infinity
    a[192] = .leastNonzeroMagnitude
    let matrix = PackedMatrix(Tensor([64, 48], KernelTests.noise(64 * 48, scale: 1, seed: 2)), precision)
    let product = Tensor([40, 64], a).multiplied(by: matrix)
    for j in 0..<48 {
      #expect(product[0, j] == 0)
      for i in 3..<40 { #expect(product[i, j].isFinite) }
    }
  }

  enum Bias: CaseIterable { case none, table, causal, relative }

  /// More queries than a job takes and more keys than a block holds.
  @Test(arguments: Bias.allCases, [1, 2]) func attentionByBlocksIsTheWhole(kind: Bias, keyHeads: Int) {
    attention(kind, keyHeads, .fp32, within: 1e-4)
  }

  /// A softmax of rounded scores; values near 1.
  @Test(arguments: Bias.allCases) func attentionInLowerPrecisionIsNear(kind: Bias) {
    attention(kind, 1, .bf16, within: 0.03)
    attention(kind, 2, .int8, within: 0.1)
    // What all keys have in common would leave eight bits nothing of what they differ in.
    attention(kind, 2, .bf16, scores: .int8, common: 60, within: 0.1)
  }

  private func attention(
    _ kind: Bias, _ keyHeads: Int, _ precision: Precision, scores scorePrecision: Precision? = nil, common: Float = 0,
    within limit: Double
  ) {
    // 33² keys, for the relative kind; queries 29 a row.
    let (n, m, side, width, heads, d, e) = (131, 1089, 33, 29, 2, 24, 40)
    let q = Tensor([1, n, heads * d], KernelTests.noise(n * heads * d, scale: 2))
    let noise = KernelTests.noise(m * keyHeads * d, scale: 2, seed: 2)
    let k = Tensor([1, m, keyHeads * d], noise.indices.map { noise[$0] + ($0 % d == 3 ? common : 0) })
    let v = Tensor([1, m, keyHeads * e], KernelTests.noise(m * keyHeads * e, scale: 1, seed: 3))
    let table = Tensor([heads, m, n], KernelTests.noise(heads * n * m, scale: 3, seed: 4))
    let rows = Tensor([2 * side - 1, d], KernelTests.noise((2 * side - 1) * d, scale: 0.3, seed: 5))
    let columns = Tensor([2 * side - 1, d], KernelTests.noise((2 * side - 1) * d, scale: 0.3, seed: 6))
    let bias: AttentionBias =
      switch kind {
      case .none: .none
      case .table: .table(table)
      // The first queries see nothing of the later blocks, the last ones all.
      case .causal: .causal(offset: m - n - 3)
      case .relative:
        .relative(RelativePositions(rows: rows, columns: columns, scale: 0.3, precision: precision).cut(to: width))
      }
    let out = Tensor.attention(
      queries: q, keys: k, values: v, heads: heads, keyHeads: keyHeads, scale: 0.3, bias: bias,
      precision: precision, scorePrecision: scorePrecision)
    for head in 0..<heads {
      let keyHead = head / (heads / keyHeads)
      for i in 0..<n {
        var scores = (0..<m).map { j in
          (0..<d).reduce(0.0) { $0 + Double(q[0, i, head * d + $1]) * Double(k[0, j, keyHead * d + $1]) } * 0.3
        }
        switch kind {
        case .none: break
        case .relative:
          for j in 0..<m {
            let (dy, dx) = (i / width - j / side + side - 1, i % width - j % side + side - 1)
            scores[j] += (0..<d).reduce(0.0) {
              $0 + Double(q[0, i, head * d + $1]) * (Double(rows[dy, $1]) + Double(columns[dx, $1]))
            }
          }
        case .table: for j in 0..<m { scores[j] += Double(table[head, j, i]) }
        case .causal: for j in (m - n - 3 + i + 1)..<m { scores[j] = -.infinity }
        }
        let top = scores.max() ?? 0
        let weights = scores.map { exp($0 - top) }
        let total = weights.reduce(0, +)
        for c in 0..<e {
          let exact = (0..<m).reduce(0.0) { $0 + weights[$1] * Double(v[0, $1, keyHead * e + c]) } / total
          #expect(abs(Double(out[0, i, head * e + c]) - exact) < limit)
        }
      }
    }
  }
}
