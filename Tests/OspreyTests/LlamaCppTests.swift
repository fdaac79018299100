import Foundation
import Masks
import Tensors
import Testing

@testable import Osprey

/// Quantised labelers beside llama.cpp, by the fixtures of `Tools/parity/packed.py`: random weights, `q8_0` quantised by this
/// program, `q4_k_m` by llama.cpp.
@Suite struct LlamaCppTests {
  private struct Golden: Decodable {
    /// In float64, from the same file's weights and the same prompt.
    let logits: [Float]
    /// How far llama.cpp's logits are from these, of their scale.
    let llamaCpp: Float

    enum CodingKeys: String, CodingKey {
      case logits
      case llamaCpp = "llama_cpp"
    }
  }

  @Test(arguments: ["q8_0", "q4_k_m"]) func logitsAreAtLeastAsNearAsLlamaCpps(kind: String) throws {
    let golden = try #require(try Fixture.json("llama_cpp.json", as: [String: Golden].self)[kind])
    let osprey = try Osprey(gguf: Fixture.path("random.\(kind).gguf"))
    let mask = BitMask(width: 60, height: 50, bits: (0..<3000).map { $0 % 60 < 20 ? 1 : 0 })
    let arrays = try osprey.trace(
      Fixture.picture(width: 60, height: 50), masks: [mask], question: Question(.short), maxTokens: 1)
    guard case .float32(let logits) = arrays.first(where: { $0.name == "osprey.first_logits" })?.array else {
      Issue.record("no logits")
      return
    }
    expectClose(
      logits, Tensor([golden.logits.count], golden.logits), "first_logits of \(kind)", tolerance: golden.llamaCpp)
    #expect(golden.llamaCpp > 1e-4 && golden.llamaCpp < 1e-2)
  }
}
