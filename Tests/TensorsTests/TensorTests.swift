import Testing

@testable import Tensors

@Suite struct TensorTests {
  @Test func copiesDoNotSeeEachOthersWrites() {
    let original = Tensor([2, 2], [1, 2, 3, 4])
    var copy = original
    copy.withUnsafeMutable { $0[0] = 9 }
    #expect(original.values == [1, 2, 3, 4])
    #expect(copy.values == [9, 2, 3, 4])
    var row = original.rows(1..<2)
    row.scale(by: 2)
    #expect(row.values == [6, 8])
    #expect(original.values == [1, 2, 3, 4])
  }

  @Test func permutingThereAndBackIsNothing() {
    let x = Tensor([2, 3, 5], (0..<30).map(Float.init))
    #expect(x.permuted([2, 0, 1]).shape == [5, 2, 3])
    #expect(x.permuted([2, 0, 1])[4, 1, 2] == x[1, 2, 4])
    #expect(x.channelsFirst().channelsLast().values == x.values)
  }

  @Test func linearIsXTimesTheTransposedWeight() {
    let x = Tensor([1, 2], [1, 2])
    let y = x.linear(Tensor([3, 2], [1, 0, 0, 1, 1, 1]), bias: Tensor([3], [10, 20, 30]))
    #expect(y.shape == [1, 3])
    #expect(y.values == [11, 22, 33])
  }

  @Test func convolutionAgreesWithItsDefinition() {
    // The second map is narrower than the kernel.
    for (h, w, stride) in [(5, 6, 1), (5, 1, 1), (45, 16, 1), (5, 6, 2)] {
      let (cin, cout, k) = (3, 4, 3)
      let x = Tensor([h, w, cin], KernelTests.noise(h * w * cin))
      let weight = Tensor([k, k, cin, cout], KernelTests.noise(k * k * cin * cout, seed: 4))
      let y = x.convolved(PackedMatrix(weight, .fp32), kernel: k, bias: nil, stride: stride, padding: 1)
      #expect(y.shape == [(h + 2 - k) / stride + 1, (w + 2 - k) / stride + 1, cout])
      for oy in 0..<y.shape[0] {
        for ox in 0..<y.shape[1] {
          for o in 0..<cout {
            var sum: Float = 0
            for ky in 0..<k {
              for kx in 0..<k {
                let (iy, ix) = (oy * stride + ky - 1, ox * stride + kx - 1)
                guard iy >= 0, iy < h, ix >= 0, ix < w else { continue }
                for c in 0..<cin { sum += x[iy, ix, c] * weight[ky, kx, c, o] }
              }
            }
            #expect(abs(y[oy, ox, o] - sum) < 1e-4)
          }
        }
      }
    }
  }

  @Test func attentionAgreesWithItsDefinition() {
    let (batch, n, m, heads, d) = (2, 3, 5, 2, 4)
    let q = Tensor([batch, n, heads * d], KernelTests.noise(batch * n * heads * d, scale: 1))
    let k = Tensor([1, m, heads * d], KernelTests.noise(m * heads * d, scale: 1, seed: 2))
    let v = Tensor([1, m, heads * d], KernelTests.noise(m * heads * d, scale: 1, seed: 3))
    let out = Tensor.attention(queries: q, keys: k, values: v, heads: heads, scale: 0.5, bias: .causal(offset: 1))
    for b in 0..<batch {
      for i in 0..<n {
        for h in 0..<heads {
          let visible = min(m, i + 2)
          var scores: [Float] = []
          for j in 0..<visible {
            scores.append((0..<d).reduce(Float(0)) { $0 + q[b, i, h * d + $1] * k[0, j, h * d + $1] } * 0.5)
          }
          var weights = Tensor([1, visible], scores)
          weights.softmax()
          for c in 0..<d {
            let expected = (0..<visible).reduce(Float(0)) { $0 + weights[0, $1] * v[0, $1, h * d + c] }
            #expect(abs(out[b, i, h * d + c] - expected) < 1e-5)
          }
        }
      }
    }
  }

  @Test func bilinearHalvesAndDoublesAsTorchDoes() {
    // torch.nn.functional.interpolate(torch.arange(4.).view(1, 1, 1, 4), (1, 8), mode="bilinear")
    let x = Tensor([1, 4, 1], [0, 1, 2, 3])
    #expect(x.resizedBilinear(height: 1, width: 8).values == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    #expect(x.resizedBilinear(height: 1, width: 2).values == [0.5, 2.5])
  }
}
