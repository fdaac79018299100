import CKernels
import Foundation
import Testing

/// The kernels of attention, whose queries are columns, in every set that this CPU has.
@Suite struct AttentionKernelTests {
  private func noise(_ count: Int, scale: Float = 3, seed: UInt64 = 1) -> [Float] {
    KernelTests.noise(count, scale: scale, seed: seed)
  }

  @Test(arguments: [1, 5, 16, 33], [16, 48]) func aGridAddsARowsAndAColumnsTerms(side: Int, queries: Int) {
    let (rows, columns) = (noise(side * queries, seed: 3), noise(side * queries, seed: 4))
    for set in KernelTests.sets {
      // From the middle of a row to the middle of another.
      for (first, count) in [(0, side * side), (side / 2, side * side - side / 2 - side / 3)] {
        let input = noise(count * queries, seed: 5)
        var x = input
        set.add_grid_columns(&x, queries, rows, columns, side, first, count)
        for i in 0..<count * queries {
          let (cell, query) = (first + i / queries, i % queries)
          let expected = input[i] + (rows[cell / side * queries + query] + columns[cell % side * queries + query])
          #expect(abs(x[i] - expected) < 1e-6, "\(String(cString: set.name)) cell \(cell)")
        }
      }
    }
  }

  @Test(arguments: [1, 7, 32]) func aTableIsAddedToAsManyColumnsAsItHas(count: Int) {
    let (rows, stride, tableStride) = (5, 32, count + 3)
    let (input, table) = (noise(rows * stride), noise(rows * tableStride, seed: 2))
    for set in KernelTests.sets {
      var x = input
      set.add_columns(&x, rows, count, stride, table, tableStride)
      for i in 0..<rows * stride {
        let (row, column) = (i / stride, i % stride)
        #expect(x[i] == (column < count ? input[i] + table[row * tableStride + column] : input[i]))
      }
    }
  }

  /// A softmax that sees its rows in two blocks, the first of which one column cannot see at all.
  @Test(arguments: [(1, 1), (14, 3), (196, 40)], [16, 32, 64]) func aSoftmaxGoesDownColumnsInSteps(
    blocks: (Int, Int), columns: Int
  ) {
    var input = noise((blocks.0 + blocks.1) * columns, scale: 20)
    for row in 0..<blocks.0 { input[row * columns + 3] = -.infinity }
    for set in KernelTests.sets {
      var tops = [Float](repeating: -.infinity, count: columns)
      var (sums, shrink) = ([Float](repeating: 0, count: columns), [Float](repeating: 9, count: columns))
      var first = Array(input.prefix(blocks.0 * columns))
      var second = Array(input.dropFirst(blocks.0 * columns))
      set.softmax_step_columns(&first, blocks.0, columns, &tops, &sums, &shrink)
      #expect(sums[3] == 0 && tops[3] == -.infinity)
      set.softmax_step_columns(&second, blocks.1, columns, &tops, &sums, &shrink)
      for column in 0..<columns {
        let scores = (0..<blocks.0 + blocks.1).map { Double(input[$0 * columns + column]) }
        let top = scores.max() ?? 0
        let total = scores.reduce(0) { $0 + exp($1 - top) }
        #expect(tops[column] == Float(top) && abs(Double(sums[column]) - total) < 1e-5 * total)
        for (row, score) in scores.enumerated() {
          let made =
            row < blocks.0
            ? first[row * columns + column] * shrink[column] : second[(row - blocks.0) * columns + column]
          #expect(abs(Double(made) - exp(score - top)) < 2e-6, "\(String(cString: set.name)) row \(row)")
        }
      }
    }
  }

  @Test(arguments: [1, 7, 32, 33]) func aProductIsFinishedByBiasAndActivation(columns: Int) {
    let (rows, stride) = (5, columns + 2)
    let (input, bias) = (noise(rows * stride), noise(columns, seed: 2))
    for set in KernelTests.sets {
      for activation in [ck_no_activation, ck_relu, ck_gelu] {
        for hasBias in [false, true] {
          var c = input
          set.finish(&c, rows, columns, stride, hasBias ? bias : nil, activation)
          for i in 0..<rows * stride {
            let column = i % stride
            guard column < columns else {
              #expect(c[i] == input[i])
              continue
            }
            let x = Double(input[i] + (hasBias ? bias[column] : 0))
            let expected =
              activation == ck_relu ? max(x, 0) : activation == ck_gelu ? 0.5 * x * (1 + erf(x / 2.0.squareRoot())) : x
            #expect(abs(Double(c[i]) - expected) < 2e-6, "\(String(cString: set.name)) \(activation)")
          }
        }
      }
    }
  }
}
