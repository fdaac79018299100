import Testing

@testable import Tensors

@Suite struct CachedAttentionTests {
  /// Cut into segments anywhere, causal attention is what the plain one gives; blocks of rows included.
  @Test func segmentsAreOneSequence() {
    let (m, heads, keyHeads, d) = (301, 4, 2, 6)
    let queries = Tensor([m, heads * d], KernelTests.noise(m * heads * d, scale: 1))
    let keys = Tensor([m, keyHeads * d], KernelTests.noise(m * keyHeads * d, scale: 1, seed: 2))
    let values = Tensor([m, keyHeads * d], KernelTests.noise(m * keyHeads * d, scale: 1, seed: 3))
    let whole = Tensor.attention(
      queries: queries.reshaped([1, m, -1]), keys: keys.reshaped([1, m, -1]), values: values.reshaped([1, m, -1]),
      heads: heads, keyHeads: keyHeads, scale: 0.4, bias: .causal(offset: 0)
    ).reshaped([m, -1])
    for (cut, newest) in [(0, 301), (1, 300), (170, 301), (200, 101), (300, 1), (150, 20)] {
      let segments = [
        KeyValueSegment(keys: keys, values: values, count: cut),
        KeyValueSegment(keys: keys.rows(cut..<m), values: values.rows(cut..<m), count: m - cut),
      ]
      let part = Tensor.causalAttention(
        queries: queries.rows(m - newest..<m), segments: segments, heads: heads, keyHeads: keyHeads, scale: 0.4)
      let difference = zip(part.values, whole.rows(m - newest..<m).values).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(difference < 1e-5, "cut \(cut), newest \(newest)")
    }
  }
}
