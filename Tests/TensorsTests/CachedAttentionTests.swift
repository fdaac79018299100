import Foundation
import Testing

@testable import Tensors

@Suite struct CachedAttentionTests {
  private static let (m, heads, keyHeads, d) = (301, 4, 2, 6)
  private let queries = Tensor([m, heads * d], KernelTests.noise(m * heads * d, scale: 1))
  private let keys = Tensor([m, keyHeads * d], KernelTests.noise(m * keyHeads * d, scale: 1, seed: 2))
  private let values = Tensor([m, keyHeads * d], KernelTests.noise(m * keyHeads * d, scale: 1, seed: 3))

  private func attend(_ queries: Tensor, _ sequences: [AttendingSequence]) -> Tensor {
    Tensor.causalAttention(
      queries: queries, sequences: sequences, heads: Self.heads, keyHeads: Self.keyHeads, scale: 0.4)
  }

  private func difference(_ a: Tensor, _ b: Tensor) -> Float {
    zip(a.values, b.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }

  /// Cut into a prefix and the rest anywhere, causal attention is what the plain one gives; blocks of rows included.
  @Test func segmentsAreOneSequence() {
    let m = Self.m
    let whole = Tensor.attention(
      queries: queries.reshaped([1, m, -1]), keys: keys.reshaped([1, m, -1]), values: values.reshaped([1, m, -1]),
      heads: Self.heads, keyHeads: Self.keyHeads, scale: 0.4, bias: .causal(offset: 0)
    ).reshaped([m, -1])
    for (cut, newest) in [(0, 301), (1, 300), (170, 131), (200, 101), (300, 1), (150, 20)] {
      let sequence = AttendingSequence(
        rows: newest, prefix: KeyValueSegment(keys: keys, values: values, count: cut),
        own: KeyValueSegment(keys: keys.rows(cut..<m), values: values.rows(cut..<m), count: m - cut))
      let part = attend(queries.rows(m - newest..<m), [sequence])
      #expect(difference(part, whole.rows(m - newest..<m)) < 1e-5, "cut \(cut), newest \(newest)")
    }
  }

  /// Sequences with any mix of prefixes, rows and own positions, packed prefixes among them.
  @Test func sequencesDoNotSeeEachOther() {
    let packed = [CacheFormat.fp32, .fp16, .q8].map { format in
      KeyValueSegment(
        keys: PackedRows(keys, count: 90, heads: Self.keyHeads, format: format),
        values: PackedRows(values, count: 90, heads: Self.keyHeads, format: format), count: 83)
    }
    let dense = KeyValueSegment(keys: keys, values: values, count: 100)
    let shapes: [(prefix: KeyValueSegment?, rows: Int, own: Int)] = [
      (dense, 1, 5), (dense, 1, 1), (dense, 40, 40), (dense, 100, 130), (nil, 3, 9), (nil, 140, 140), (packed[0], 1, 4),
      (packed[0], 7, 7), (packed[1], 1, 4), (packed[2], 1, 4), (packed[2], 2, 2), (dense, 1, 3),
    ]
    var (sequences, row, alone) = ([AttendingSequence](), 0, [Tensor]())
    for (i, shape) in shapes.enumerated() {
      let own = KeyValueSegment(
        keys: keys.rows(3 * i..<3 * i + shape.own), values: values.rows(2 * i..<2 * i + shape.own), count: shape.own)
      sequences.append(AttendingSequence(rows: shape.rows, prefix: shape.prefix, own: own))
      alone.append(attend(queries.rows(row..<row + shape.rows), [sequences[i]]))
      row += shape.rows
    }
    #expect(difference(attend(queries.rows(0..<row), sequences), .concatenated(alone)) < 1e-5)
    // Packed in float32 is the same; in fewer bytes nearly.
    let own = KeyValueSegment(keys: keys, values: values, count: 4)
    let exact = attend(
      queries.rows(0..<4),
      [.init(rows: 4, prefix: KeyValueSegment(keys: keys, values: values, count: 83), own: own)])
    for (segment, tolerance) in zip(packed, [Float(1e-6), 1e-3, 2e-2]) {
      let close = attend(queries.rows(0..<4), [.init(rows: 4, prefix: segment, own: own)])
      #expect(difference(close, exact) < tolerance)
    }
  }

  @Test func halvesAreTheNearest() {
    let numbers: [Float] = [
      0, -0.0, 1, -1, 65504, 65519, 65520, 1e9, -.infinity, 6e-8, 2.9e-8, 3e-8, 6.1e-5, 6.097e-5, 0.1, 1.0009766,
      1.00048828125, 1.00146484375, 123.456, -3.14159,
    ]
    for number in numbers + KernelTests.noise(500, scale: 30) {
      #expect(PackedRows.half(number) == Float16(number).bitPattern, "\(number)")
    }
    #expect(Float16(bitPattern: PackedRows.half(.nan)).isNaN)
  }
}
