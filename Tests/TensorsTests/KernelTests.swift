import CKernels
import Foundation
import Testing

/// Every kernel set that this CPU has, against plain double-precision arithmetic, on odd sizes.
@Suite struct KernelTests {
  static var sets: [ck_kernels] {
    var pointers = [UnsafePointer<ck_kernels>?](repeating: nil, count: 8)
    let count = ck_available(&pointers, 8)
    return pointers.prefix(count).compactMap { $0?.pointee }
  }

  static func noise(_ count: Int, scale: Float = 3, seed: UInt64 = 1) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (Float(state >> 40) / Float(1 << 24) * 2 - 1) * scale
    }
  }

  func name(_ set: ck_kernels) -> String { String(cString: set.name) }

  @Test func theScalarTwinIsAlwaysThere() {
    #expect(Self.sets.first.map(name) == "scalar")
    #expect(Self.sets.contains { String(cString: $0.name) == String(cString: ck_best().pointee.name) })
  }

  @Test(arguments: [1, 7, 16, 33, 1025]) func geluIsTheExactOne(count: Int) {
    for set in Self.sets {
      let input = Self.noise(count, scale: 6)
      var output = input
      set.gelu(&output, count)
      for i in 0..<count {
        let x = Double(input[i])
        let expected = 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
        #expect(abs(Double(output[i]) - expected) < 2e-6, "\(name(set)) gelu(\(x))")
      }
    }
  }

  @Test(arguments: [1, 3, 17, 64, 257]) func softmaxSumsToOneAndKeepsInfinityOut(columns: Int) {
    for set in Self.sets {
      let rows = 3
      var x = Self.noise(rows * columns, scale: 20)
      if columns > 1 { x[columns - 1] = -.infinity }
      let input = x
      set.softmax_rows(&x, rows, columns)
      for r in 0..<rows {
        let row = input[r * columns..<(r + 1) * columns].map(Double.init)
        let top = row.max() ?? 0
        let sum = row.reduce(0) { $0 + exp($1 - top) }
        for i in 0..<columns {
          #expect(abs(Double(x[r * columns + i]) - exp(row[i] - top) / sum) < 1e-6, "\(name(set)) row \(r) column \(i)")
        }
      }
      if columns > 1 { #expect(x[columns - 1] == 0) }
    }
  }

  @Test(arguments: [1, 5, 48, 191]) func normsAgreeWithDoublePrecision(columns: Int) {
    for set in Self.sets {
      let rows = 4
      // A large common offset: a one-pass variance would lose everything here.
      let x = Self.noise(rows * columns).map { $0 + 1000 }
      let weight = Self.noise(columns, seed: 2)
      let bias = Self.noise(columns, seed: 3)
      var y = [Float](repeating: 0, count: x.count)
      set.layer_norm(x, weight, bias, 1e-6, &y, rows, columns)
      var z = [Float](repeating: 0, count: x.count)
      set.rms_norm(x, weight, 1e-6, &z, rows, columns)
      for r in 0..<rows {
        let row = x[r * columns..<(r + 1) * columns].map(Double.init)
        let mean = row.reduce(0, +) / Double(columns)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
        let square = row.reduce(0) { $0 + $1 * $1 } / Double(columns)
        for i in 0..<columns {
          let normal = (row[i] - mean) / (variance + 1e-6).squareRoot() * Double(weight[i]) + Double(bias[i])
          #expect(abs(Double(y[r * columns + i]) - normal) < 2e-3, "\(name(set)) layer norm")
          let rms = row[i] / (square + 1e-6).squareRoot() * Double(weight[i])
          #expect(abs(Double(z[r * columns + i]) - rms) < 1e-4, "\(name(set)) rms norm")
        }
      }
    }
  }

  @Test(arguments: [(1, 1, 3, 1), (5, 7, 19, 1), (8, 6, 33, 2), (4, 9, 150, 1)])
  func depthwiseAgreesWithItsDefinition(height: Int, width: Int, channels: Int, stride: Int) {
    for set in Self.sets {
      for k in [3, 7] {
        let padding = k / 2
        let x = Self.noise(height * width * channels)
        let weight = Self.noise(k * k * channels, seed: 5)
        let bias = Self.noise(channels, seed: 6)
        let outWidth = (width + 2 * padding - k) / stride + 1
        let outHeight = (height + 2 * padding - k) / stride + 1
        var y = [Float](repeating: 0, count: outWidth * channels)
        for oy in 0..<outHeight {
          x.withUnsafeBufferPointer { x in
            var rows = (0..<k).map { ky -> UnsafePointer<Float>? in
              let iy = oy * stride + ky - padding
              return iy >= 0 && iy < height ? x.baseAddress.map { $0 + iy * width * channels } : nil
            }
            set.depthwise_row(&rows, width, channels, weight, bias, k, stride, padding, &y, outWidth)
          }
          for ox in 0..<outWidth {
            for c in 0..<channels {
              var sum = Double(bias[c])
              for ky in 0..<k {
                for kx in 0..<k {
                  let (iy, ix) = (oy * stride + ky - padding, ox * stride + kx - padding)
                  guard iy >= 0, iy < height, ix >= 0, ix < width else { continue }
                  sum += Double(x[(iy * width + ix) * channels + c]) * Double(weight[(ky * k + kx) * channels + c])
                }
              }
              #expect(abs(Double(y[ox * channels + c]) - sum) < 1e-4, "\(name(set)) \(k)×\(k)")
            }
          }
        }
      }
    }
  }

  @Test(arguments: [1, 15, 100]) func pointwiseKernels(count: Int) {
    for set in Self.sets {
      let (x, y) = (Self.noise(count), Self.noise(count, seed: 9))
      var gate = x
      set.silu_multiply(&gate, y, count)
      var sum = x
      set.add(&sum, y, count)
      var positive = x
      set.relu(&positive, count)
      for i in 0..<count {
        let silu = Double(x[i]) / (1 + exp(-Double(x[i]))) * Double(y[i])
        #expect(abs(Double(gate[i]) - silu) < 2e-6)
        #expect(sum[i] == x[i] + y[i])
        #expect(positive[i] == max(x[i], 0))
      }
    }
  }
}
