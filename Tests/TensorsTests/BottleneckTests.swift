import Testing

@testable import Tensors

/// By blocks and row by row the same as map by map.
@Suite struct BottleneckTests {
  private func noise(_ shape: [Int], seed: UInt64) -> Tensor {
    Tensor(shape, KernelTests.noise(shape.reduce(1, *), scale: 1, seed: seed))
  }

  @Test(
    arguments: [(1, 1, 1), (2, 5, 1), (37, 11, 1), (1, 1, 2), (6, 8, 2), (37, 11, 2), (5, 500, 1), (35, 501, 2)],
    Precision.allCases)
  func rowByRowIsMapByMap(_ size: (height: Int, width: Int, stride: Int), precision: Precision) {
    let (channels, wide) = (24, 72)
    for residual in size.stride == 1 ? [false, true] : [false] {
      let outputs = residual ? channels : 40
      let x = noise([size.height, size.width, channels], seed: 1)
      let (widen, widenBias) = (PackedMatrix(noise([channels, wide], seed: 2), precision), noise([wide], seed: 3))
      let (depthwise, depthwiseBias) = (noise([3, 3, wide], seed: 4), noise([wide], seed: 5))
      let (narrow, narrowBias) = (PackedMatrix(noise([wide, outputs], seed: 6), precision), noise([outputs], seed: 7))

      var middle = x.multiplied(by: widen, bias: widenBias, activation: .gelu)
        .depthwiseConvolved(depthwise, bias: depthwiseBias, stride: size.stride, padding: 1)
      middle.gelu()
      var expected = middle.multiplied(by: narrow, bias: narrowBias)
      if residual {
        expected.add(x)
        expected.gelu()
      }
      let weights = BottleneckWeights(
        widen: widen, widenBias, depthwise: depthwise, depthwiseBias, stride: size.stride, narrow: narrow, narrowBias)
      let actual = x.bottlenecked(weights, residual: residual)
      #expect(actual.shape == expected.shape)
      let off = zip(actual.values, expected.values).filter { abs($0 - $1) >= 1e-4 * max(1, abs($1)) }
      // Where the last bit of a sum decides how a number is rounded to bf16 or int8, a few may differ by that much.
      #expect(off.count <= (precision == .fp32 ? 0 : actual.count / 100))
      #expect(off.allSatisfy { abs($0 - $1) < 0.02 }, "\(off)")
    }
  }
}
