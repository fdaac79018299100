import Foundation
import Tensors
import Testing

@testable import pandion

@Suite struct BenchTests {
  @Test(arguments: [
    [], ["picture.png", "--kernels"], ["--kernels", "--profile"], ["--kernels", "--profile-by", "layer"],
    ["picture.png", "--profile-by", "nothing"], ["--kernels", "--only", "click"],
    ["picture.png", "--repeat", "0"], ["picture.png", "--only", "nothing"],
  ])
  func refusesWhatDoesNotGoTogether(_ words: [String]) {
    #expect(throws: (any Error).self) { try Bench.parse(words) }
  }

  @Test func profilesNamedPartsOrTheUsualOnes() throws {
    #expect(try Bench.parse(["picture.png", "--profile"]).profile)
    #expect(Bench.Part.profiled.allSatisfy { Bench.Part.allCases.contains($0) })
    #expect(Bench.Part.profiled.contains { $0.isLabelers } && Bench.Part.profiled.contains { !$0.isLabelers })
  }

  @Test func layersAreToldInTheirOrder() throws {
    let x = Tensor([311, 83], [Float](repeating: 1, count: 311 * 83))
    let (small, large) = (Tensor([5, 83]), Tensor([61, 83]))
    func body() {
      Profile.layer("first") { _ = x.linear(small) }
      Profile.layer("second") { _ = (x.linear(small), x.linear(large)) }
    }
    let profile = try PartProfile("test", by: .layer, body)
    let rows = try #require(profile.layers).filter { ["first", "second"].contains($0.layer) }
    #expect(rows.map(\.layer) == ["first", "second"] && rows.map(\.calls) == [1, 2])
    #expect(rows.map(\.flops) == [2 * 311 * 83 * 5, 2 * 311 * 83 * 66])
    #expect(abs(rows[1].gflopsPerSecond * rows[1].milliseconds * 1e6 / Double(rows[1].flops) - 1) < 1e-6)
    // Of operations the two small ones are one still.
    #expect(profile.operations.first { $0.shape == [311, 83, 5] }?.calls == 2)
    #expect(try PartProfile("test", body).layers == nil)
  }

  @Test func aProfileAddsUpToTheTimeThatPassed() throws {
    let x = Tensor([307, 79], [Float](repeating: 1, count: 307 * 79))
    let weight = Tensor([59, 79], [Float](repeating: 1, count: 59 * 79))
    let profile = try PartProfile("test") { for _ in 0..<5 { _ = x.linear(weight) } }
    let row = try #require(profile.operations.first { $0.shape == [307, 79, 59] })
    #expect(row.calls == 5 && row.flops == 5 * 2 * 307 * 79 * 59)
    #expect(abs(row.gflopsPerSecond * row.milliseconds * 1e6 / Double(row.flops) - 1) < 1e-6)
    let sum = profile.operations.reduce(profile.elsewhereMilliseconds) { $0 + $1.milliseconds }
    #expect(abs(sum - profile.milliseconds) < 1e-6 * profile.milliseconds)
    #expect(row.milliseconds < profile.milliseconds)
  }

  @Test func blockProductsHaveARowForEachSet() throws {
    #expect(BlockProductSet.formats == [.q8_0, .q4_0, .q4_K, .q6_K])
    for format in BlockProductSet.formats {
      let weight = KernelBench.weight(format, rows: 33, columns: 256)
      let isFinite = weight.dequantized().values.allSatisfy { $0.isFinite }
      #expect(isFinite, "\(format)")
      for count in [1, 64] {
        let rows = KernelBench.rows(count, weight) { body in
          body()
          return 0.001
        }
        #expect(rows.count == BlockProductSet.available.count && rows[0].timesScalar == 1)
        #expect(rows[0].set == "\(format.rawValue) scalar")
        for row in rows {
          #expect(abs(row.rate / (Double(2 * count * 33 * 256) / 1e6) - 1) < 1e-9)
          let stored = Double(33 * format.byteCount(of: 256))
          #expect(abs((row.weightGbPerSecond ?? 0) / (stored / 1e6) - 1) < 1e-9)
        }
      }
    }
  }
}
