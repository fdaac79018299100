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

  @Test(arguments: [1, 5, 16, 33]) func addGridAddsARowsAndAColumnsTerm(side: Int) {
    let (rows, columns) = (noise(side, seed: 3), noise(side, seed: 4))
    for set in KernelTests.sets {
      // From the middle of a row to the middle of another.
      for (first, count) in [(0, side * side), (side / 2, side * side - side / 2 - side / 3)] {
        let input = noise(count, seed: 5)
        var x = input
        set.add_grid(&x, rows, columns, side, first, count)
        for i in 0..<count {
          let cell = first + i
          let expected = input[i] + (rows[cell / side] + columns[cell % side])
          #expect(abs(x[i] - expected) < 1e-6, "\(String(cString: set.name)) cell \(cell)")
        }
      }
    }
  }
}
