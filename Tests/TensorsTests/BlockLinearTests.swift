import CKernels
import Testing

@testable import Tensors

/// Products with ggml's blocks in integers: every set of kernels against float64, whatever the sizes.
@Suite struct BlockLinearTests {
  nonisolated(unsafe) static let sets: [ck_block_kernels] = {
    var found = [UnsafePointer<ck_block_kernels>?](repeating: nil, count: 4)
    let count = ck_available_blocks(&found, found.count)
    return found[..<count].compactMap { $0?.pointee }
  }()

  static func matrix(_ format: WeightFormat, rows: Int, columns: Int) -> WeightMatrix {
    let file = HeldBytes([0] + StoredWeightTests.blocks(format, rows * columns))
    return WeightMatrix(rows: rows, columns: columns, format: format, borrowing: file.base + 1, owner: file)
  }

  /// Each of 32 activations is off by at most half of their greatest over 32639; the rest is rounding in float32.
  private func bound(_ weights: ArraySlice<Float>, _ x: ArraySlice<Float>) -> (exact: Double, bound: Double) {
    let (w, x) = (Array(weights), Array(x))
    var (exact, bound) = (0.0, 1e-6)
    for start in stride(from: 0, to: w.count, by: 32) {
      let most = x[start..<start + 32].reduce(0.0) { max($0, Double(abs($1))) }
      for i in start..<start + 32 {
        exact += Double(w[i]) * Double(x[i])
        // Weights are scale times number less minimum, each of them much greater than the weight at worst.
        bound += abs(Double(w[i])) * most / 32639 * 0.51 + 2e-6 * abs(Double(w[i])) * abs(Double(x[i]))
      }
    }
    return (exact, bound * 1.1)
  }

  @Test(
    arguments: [(WeightFormat.q8_0, 32), (.q8_0, 96), (.q4_0, 96), (.q4_0, 1120), (.q4_K, 768), (.q6_K, 768)],
    [1, 2, 4, 5, 33, 70])
  func everySetGivesTheProduct(kind: (WeightFormat, Int), count: Int) throws {
    let (format, columns) = kind
    for rows in [1, 16, 31, 67] {
      let matrix = Self.matrix(format, rows: rows, columns: columns)
      let x = Tensor([count, columns], KernelTests.noise(count * columns, seed: 3))
      let (weights, xs) = (matrix.dequantized().values, x.values)
      for set in Self.sets {
        let y = try #require(x.blockLinear(matrix, count, set: set)).values
        var worst = 0.0
        for i in 0..<count {
          for j in 0..<rows {
            let (exact, bound) = bound(
              weights[j * columns..<(j + 1) * columns], xs[i * columns..<(i + 1) * columns])
            worst = max(worst, abs(Double(y[i * rows + j]) - exact) / bound)
          }
        }
        #expect(
          worst <= 1, "\(String(cString: set.name)), \(format), \(count)×\(columns) by \(rows): \(worst) of the bound")
      }
    }
  }

  /// Zeros stay zeros, what is no number is none in its row only, and the smallest and greatest numbers overflow nothing.
  @Test func activationsMayBeAnything() throws {
    let matrix = Self.matrix(.q8_0, rows: 3, columns: 64)
    var x = KernelTests.noise(8 * 64, seed: 9)
    for i in 0..<64 { (x[i], x[64 + i], x[128 + i]) = (0, x[64 + i] * 1e-38, x[128 + i] * 1e30) }
    x[3 * 64 + 5] = .nan
    x[4 * 64 + 40] = .infinity
    x[5 * 64] = -.infinity
    x[6 * 64 + 7] = .leastNonzeroMagnitude
    let tensor = Tensor([8, 64], x)
    for set in Self.sets {
      for count in [8, 3] {
        let y = try #require(tensor.rows(0..<count).blockLinear(matrix, count, set: set)).values
        for (i, value) in y.enumerated() {
          switch i / 3 {
          case 0: #expect(value == 0)
          case 3, 4, 5: #expect(value.isNaN)
          default: #expect(value.isFinite)
          }
        }
      }
    }
  }

  /// A row's product is the same however many others there are, within each of the two ways.
  @Test(arguments: [WeightFormat.q8_0, .q4_0, .q4_K, .q6_K]) func rowsDoNotDisturbEachOther(format: WeightFormat) throws
  {
    let matrix = Self.matrix(format, rows: 40, columns: 768)
    let x = Tensor([40, 768], KernelTests.noise(40 * 768, seed: 5))
    for set in Self.sets {
      let all = try #require(x.blockLinear(matrix, 40, set: set)).values
      for count in [4, 7, 33] {
        let some = try #require(x.rows(0..<count).blockLinear(matrix, count, set: set)).values
        #expect(some == Array(all[..<some.count]))
      }
      let three = try #require(x.rows(0..<3).blockLinear(matrix, 3, set: set)).values
      let one = try #require(x.rows(0..<1).blockLinear(matrix, 1, set: set)).values
      #expect(one == Array(three[..<40]))
    }
  }
}
