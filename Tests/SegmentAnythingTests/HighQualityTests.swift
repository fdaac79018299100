import Checkpoints
import Masks
import SegmentAnything
import Tensors
import Testing

/// SAM's part of an HQ-SAM checkpoint.
private struct WithoutHighQuality: Checkpoint {
  let base: any Checkpoint

  var path: String { base.path }
  var keys: [String] { base.keys.filter(isKept) }

  func shape(of key: String) -> [Int]? { isKept(key) ? base.shape(of: key) : nil }
  func type(of key: String) -> ElementType? { isKept(key) ? base.type(of: key) : nil }
  func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard isKept(key) else { throw .missing(key: key, path: path) }
    return try base.tensor(key)
  }

  private func isKept(_ key: String) -> Bool {
    !["hf_", "compress_vit_feat", "embedding_encoder", "embedding_maskfeature"].contains {
      key.hasPrefix("mask_decoder." + $0)
    }
  }
}

struct HighQualityTests {
  @Test func itIsToldByItsTensors() throws {
    #expect(Golden.all.map(\.model.architecture) == ["vit", "tiny_vit", "vit_hq", "tiny_vit_hq", "efficient_sam"])
    let base = try openCheckpoint(Golden.fixture("vit_hq.safetensors"))
    let plain = try SegmentAnything(WithoutHighQuality(base: base))
    #expect(plain.architecture == "vit")
    let image = try Golden.picture("portrait")
    let prompt = Prompt(points: [Point(x: 40, y: 90)], pointLabels: [1])
    let prediction = try plain.predict(plain.embed(image), prompt, multimask: true)
    #expect(prediction.masks.count == 3)
  }

  /// One mask comes out, with the best expectation of SAM's three.
  @Test(arguments: Golden.all.filter { $0.name.hasSuffix("_hq") }) func multimaskChoosesOne(golden: Golden) throws {
    let embedding = golden.model.embed(try Golden.picture("landscape"))
    let prompt = Prompt(points: [Point(x: 120, y: 80)], pointLabels: [1])
    for multimask in [false, true] {
      let prediction = try golden.model.predict(embedding, prompt, multimask: multimask)
      #expect(prediction.masks.count == 1)
      #expect(prediction.iouPredictions.count == 1)
      #expect(prediction.lowResLogits.shape == [1, 64, 64])
      #expect(prediction.stabilityScores.count == 1)
    }
    // The fine features are part of what a cache of embeddings holds.
    #expect(embedding.byteCount >= 4 * 64 * 64 * 4 + 4 * 16 * 16 * 32)
  }
}
