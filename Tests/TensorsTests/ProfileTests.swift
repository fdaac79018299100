import Testing

@testable import Tensors

/// One at a time: the profile is the process's.
@Suite(.serialized) struct ProfileTests {
  /// Numbers of this suite's own sizes, so that other suites' operations are told apart.
  private static let (rows, inner, columns) = (301, 77, 53)

  @Test func countsALinearLayer() throws {
    let x = Tensor([Self.rows, Self.inner], [Float](repeating: 1, count: Self.rows * Self.inner))
    let weight = Tensor([Self.columns, Self.inner], [Float](repeating: 1, count: Self.columns * Self.inner))
    let clock = ContinuousClock()
    var found: [(operation: Profile.Operation, total: Profile.Total)] = []
    let passed = clock.measure { found = Profile.collect { for _ in 0..<3 { _ = x.linear(weight) } } }
    let own = try #require(found.first { $0.operation.shape == [Self.rows, Self.inner, Self.columns] })
    #expect(own.operation.kind == .linear && own.operation.format == "fp32")
    #expect(own.operation.flops == 2 * Self.rows * Self.inner * Self.columns)
    #expect(
      own.operation.bytes == 4 * (Self.rows * Self.inner + Self.inner * Self.columns + Self.rows * Self.columns))
    #expect(own.total.calls == 3)
    #expect(own.total.seconds > 0)
    #expect(own.total.seconds <= Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18)
    // Packing the weight is a part of the product.
    #expect(!found.contains { $0.operation.shape == [Self.inner, Self.columns] })
  }

  @Test func countsAFeedForwardOnce() throws {
    let x = Tensor([Self.rows, Self.inner], [Float](repeating: 1, count: Self.rows * Self.inner))
    func matrix(_ inner: Int, _ columns: Int) -> PackedMatrix {
      PackedMatrix(Tensor([inner, columns], [Float](repeating: 1, count: inner * columns)), .fp32)
    }
    let (widen, narrow) = (matrix(Self.inner, Self.columns), matrix(Self.columns, Self.inner))
    var sum = x
    let found = Profile.collect { sum.addFeedForward(x, widen: widen, nil, narrow: narrow, nil) }
    let own = found.filter { $0.operation.shape.starts(with: [Self.rows, Self.inner]) }
    #expect(own.count == 1)
    #expect(own.first?.operation.kind == .feedForward)
    #expect(own.first?.operation.flops == 4 * Self.rows * Self.inner * Self.columns)
  }

  @Test func sideBySideOperationsTakeNoMoreThanTheTimeThatPassed() {
    let x = Tensor([199, 211], [Float](repeating: 1, count: 199 * 211))
    let weight = Tensor([223, 211], [Float](repeating: 1, count: 223 * 211))
    var found: [(operation: Profile.Operation, total: Profile.Total)] = []
    let passed = ContinuousClock().measure {
      found = Profile.collect { _ = ComputePool.map(64) { _ in x.linear(weight) } }
    }
    let own = found.filter { $0.operation.shape == [199, 211, 223] }
    #expect(own.first?.total.calls == 64)
    let seconds = Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18
    #expect(own.reduce(0) { $0 + $1.total.seconds } <= seconds)
  }

  @Test func offItTellsNothing() {
    let x = Tensor([Self.rows, 31], [Float](repeating: 1, count: Self.rows * 31))
    _ = x.linear(Tensor([29, 31], [Float](repeating: 1, count: 29 * 31)))
    #expect(!Profile.collect {}.contains { $0.operation.shape == [Self.rows, 31, 29] })
  }

  @Test func tellsTheLayerOnEveryThread() throws {
    let x = Tensor([197, 41], [Float](repeating: 1, count: 197 * 41))
    let weight = Tensor([43, 41], [Float](repeating: 1, count: 43 * 41))
    let found = Profile.collectEntries {
      Profile.layer("blocks.1") {
        Profile.layer("mlp") { _ = ComputePool.map(64) { _ in x.linear(weight) } }
        Profile.layer("attn") {
          _ = ComputePool.map(32) { i in Profile.layer("head.\(i % 2)") { x.linear(weight) } }
        }
        _ = x.linear(weight)
      }
      _ = x.linear(weight)
      Profile.layer("blocks.0") { _ = x.linear(weight) }
    }
    let own = found.filter { $0.operation.shape == [197, 41, 43] }
    let calls = Dictionary(uniqueKeysWithValues: own.map { ($0.layer, $0.total.calls) })
    #expect(
      calls == [
        "blocks.1.mlp": 64, "blocks.1.attn.head.0": 16, "blocks.1.attn.head.1": 16, "blocks.1": 1, "": 1,
        "blocks.0": 1,
      ])
    // As they were entered; which of the heads was first nobody knows.
    let order = own.map(\.layer).filter { !$0.contains("head") }
    #expect(order == ["blocks.1", "blocks.1.mlp", "blocks.0", ""])
    let merged = Profile.merged(found).filter { $0.operation.shape == [197, 41, 43] }
    #expect(merged.count == 1 && merged.first?.total.calls == 99)
  }

  @Test func layersEndWithTheirBodiesAndErrors() throws {
    struct Failure: Error {}
    let x = Tensor([193, 37], [Float](repeating: 1, count: 193 * 37))
    let weight = Tensor([47, 37], [Float](repeating: 1, count: 47 * 37))
    let found = Profile.collectEntries {
      #expect(throws: Failure.self) { try Profile.layer("fails") { throw Failure() } }
      _ = x.linear(weight)
    }
    #expect(found.filter { $0.operation.shape == [193, 37, 47] }.map(\.layer) == [""])
  }
}
