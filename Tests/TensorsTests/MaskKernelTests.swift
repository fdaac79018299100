import CKernels
import Foundation
import Testing

/// The kernels of the mask decoder, in every set that this CPU has, against their definitions on odd sizes.
@Suite struct MaskKernelTests {
  private func noise(_ count: Int, scale: Float = 3, seed: UInt64 = 1) -> [Float] {
    KernelTests.noise(count, scale: scale, seed: seed)
  }

  @Test(arguments: [1, 17, 64, 65, 200], [1, 2, 7]) func softmaxGoesDownTheTermsOfEachGroup(columns: Int, terms: Int) {
    let groups = 3
    let input = noise(groups * terms * columns, scale: 20)
    for set in KernelTests.sets {
      var x = input
      set.softmax_columns(&x, groups, terms, columns)
      for group in 0..<groups {
        for column in 0..<columns {
          let places = (0..<terms).map { (group * terms + $0) * columns + column }
          let top = places.map { Double(input[$0]) }.max() ?? 0
          let sum = places.reduce(0) { $0 + exp(Double(input[$1]) - top) }
          for place in places {
            let expected = exp(Double(input[place]) - top) / sum
            #expect(abs(Double(x[place]) - expected) < 1e-6, "\(String(cString: set.name)) at \(place)")
          }
        }
      }
    }
  }

  @Test(arguments: [1, 15, 16, 33, 257]) func blendRoundsAsPlainCodeDoes(count: Int) {
    let (above, below, fraction) = (noise(count), noise(count, seed: 2), Float(0.3))
    for set in KernelTests.sets {
      var y = [Float](repeating: .nan, count: count)
      set.blend(above, below, fraction, &y, count)
      let rest = 1 - fraction
      for i in 0..<count {
        let (first, second) = (rest * above[i], fraction * below[i])
        #expect(y[i] == first + second, "\(String(cString: set.name)) at \(i)")
      }
    }
  }

  @Test(arguments: [1, 31, 64, 129, 1000]) func cutCountsAboveEachOfItsThreeThresholds(count: Int) {
    var x = noise(count)
    // On a threshold is not above it; a number that is none is above nothing.
    for (i, special) in [0, 1, -1, Float.nan].enumerated() where i < count { x[i] = special }
    for set in KernelTests.sets {
      var bits = [UInt8](repeating: 9, count: count)
      var counts = [0, 0, 0]
      set.cut(x, 1, count, &bits, &counts)
      #expect(bits == x.map { $0 > 0 ? 1 : 0 }, "\(String(cString: set.name))")
      #expect(counts == [0, 1, -1].map { threshold in x.count { $0 > threshold } }, "\(String(cString: set.name))")
    }
  }

  @Test(arguments: [1, 8, 32, 65, 130], [1, 3, 64]) func columnsAreScaledJoinedAndMultiplied(columns: Int, rows: Int) {
    let (x, y) = (noise(rows * columns), noise(rows * columns, seed: 2))
    let (factors, offsets) = (noise(columns, seed: 3), noise(rows, seed: 4))
    for set in KernelTests.sets {
      var (scaled, joined, sums) = (x, x, factors)
      set.scale_columns(&scaled, rows, columns, columns, factors)
      set.join_columns(&joined, y, rows, columns, factors, offsets)
      set.dot_columns(x, y, rows, columns, &sums)
      for column in 0..<columns {
        var sum = Double(factors[column])
        for row in 0..<rows {
          let i = row * columns + column
          #expect(scaled[i] == x[i] * factors[column])
          #expect(abs(joined[i] - ((x[i] + y[i]) * factors[column] + offsets[row])) < 1e-5)
          sum += Double(x[i]) * Double(y[i])
        }
        #expect(abs(Double(sums[column]) - sum) < 1e-4, "\(String(cString: set.name)) column \(column)")
      }
    }
  }

  @Test(arguments: [(1, 1, 1), (3, 5, 31), (4, 4, 64), (7, 16, 256), (9, 2, 100)], [32, 16, 5])
  func panelsAreWeighed(_ size: (rows: Int, count: Int, columns: Int), width: Int) {
    let (stride, zRows, panels) = (size.columns + 3, size.count + 2, (size.columns + width - 1) / width)
    let (x, z) = (noise(size.rows * stride), noise(panels * zRows * width, seed: 2))
    for set in KernelTests.sets {
      var y = [Float](repeating: 7, count: size.rows * (size.count + 1))
      set.weigh_columns(x, stride, size.rows, z, width, zRows, size.count, size.columns, &y, size.count + 1)
      for row in 0..<size.rows {
        for j in 0..<size.count {
          let expected = (0..<size.columns).reduce(0.0) {
            $0 + Double(x[row * stride + $1]) * Double(z[($1 / width * zRows + j) * width + $1 % width])
          }
          let own = Double(y[row * (size.count + 1) + j])
          #expect(abs(own - expected) < 1e-4, "\(String(cString: set.name)) \(row), \(j)")
        }
        #expect(y[row * (size.count + 1) + size.count] == 7)
      }
    }
  }

  @Test func scaleLeavesWhatStandsBetweenRows() {
    for set in KernelTests.sets {
      var x = [Float](repeating: 1, count: 40)
      set.scale_columns(&x, 2, 17, 20, [Float](repeating: 3, count: 17))
      #expect(x.count { $0 == 3 } == 34 && x[17...19] == [1, 1, 1] && x[37...] == [1, 1, 1])
    }
  }

  @Test(arguments: [1, 32, 65, 100], [2, 16, 64]) func layerNormGoesDownColumns(columns: Int, rows: Int) {
    // Far from 0, as a mean that squares would not survive.
    let x = noise(rows * columns).map { $0 + 100 }
    let (weight, bias) = (noise(rows, seed: 3), noise(rows, seed: 4))
    for set in KernelTests.sets {
      var y = x
      set.norm_columns(&y, rows, columns, weight, bias, 1e-6)
      for column in 0..<columns {
        let own = (0..<rows).map { Double(x[$0 * columns + column]) }
        let mean = own.reduce(0, +) / Double(rows)
        let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rows)
        for row in 0..<rows {
          let deviation = (variance + 1e-6).squareRoot()
          let expected = (own[row] - mean) / deviation * Double(weight[row]) + Double(bias[row])
          // A sum of 64 numbers near 100 is known to 3e-3 or so, the mean to 5e-5; weights are up to 3.
          let tolerance = 1e-5 + 2e-4 / deviation
          #expect(
            abs(Double(y[row * columns + column]) - expected) < tolerance,
            "\(String(cString: set.name)) \(row), \(column)")
        }
      }
    }
  }

  @Test(arguments: [0, 1, 5, 16, 33]) func interleaveTakesTurns(count: Int) {
    let parts = (0..<4).map { noise(count, seed: UInt64(7 + $0)) }
    for set in KernelTests.sets {
      var y = [Float](repeating: .nan, count: 4 * count)
      set.interleave(parts[0], parts[1], parts[2], parts[3], count, &y)
      #expect(y == (0..<count).flatMap { i in parts.map { $0[i] } }, "\(String(cString: set.name))")
    }
  }

  /// Longer, shorter, and so short that a register does not hold what sixteen outputs read.
  @Test(arguments: [(1, 9), (7, 7), (64, 256), (256, 1000), (100, 37), (640, 64), (33, 1)])
  func stretchRoundsAsPlainCodeDoes(from: Int, to: Int) {
    let x = noise(from)
    var (low, high, fraction) = ([Int](), [Int](), [Float]())
    for i in 0..<to {
      let place = max((Float(i) + 0.5) * Float(from) / Float(to) - 0.5, 0)
      low.append(min(Int(place), from - 1))
      high.append(min(low[i] + 1, from - 1))
      fraction.append(place - Float(low[i]))
    }
    for set in KernelTests.sets {
      var y = [Float](repeating: .nan, count: to)
      set.stretch(x, low, high, fraction, &y, to)
      for i in 0..<to {
        let (first, second) = ((1 - fraction[i]) * x[low[i]], fraction[i] * x[high[i]])
        #expect(y[i] == first + second, "\(String(cString: set.name)) at \(i)")
      }
    }
  }
}
