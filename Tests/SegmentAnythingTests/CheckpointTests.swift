import Checkpoints
import SegmentAnything
import Tensors
import Testing

/// A checkpoint with one tensor taken away or changed.
private struct Altered: Checkpoint {
  let base: any Checkpoint
  var dropped: String?
  var droppedPrefix: String?
  /// Tensors that are there besides, as they are under `extra`'s names.
  var extra: [String] = []
  var changed: (key: String, tensor: Tensor)?
  var prefix = ""

  var path: String { "altered" }
  var keys: [String] { base.keys.filter { !isDropped($0) }.map { prefix + $0 } + extra }

  private func isDropped(_ key: String) -> Bool {
    key == dropped || droppedPrefix.map { key.hasPrefix($0) } ?? false
  }

  private func baseKey(_ key: String) -> String? {
    guard key.hasPrefix(prefix) else { return nil }
    let name = String(key.dropFirst(prefix.count))
    return isDropped(name) ? nil : name
  }

  func shape(of key: String) -> [Int]? {
    if extra.contains(key) { return [1] }
    guard let name = baseKey(key) else { return nil }
    return name == changed?.key ? changed?.tensor.shape : base.shape(of: name)
  }
  func type(of key: String) -> ElementType? { baseKey(key).flatMap { base.type(of: $0) } }
  func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    guard let name = baseKey(key) else { throw .missing(key: key, path: path) }
    if let changed, changed.key == name { return changed.tensor }
    return try base.tensor(name)
  }
}

struct CheckpointTests {
  private func refusal(_ checkpoint: any Checkpoint) -> CheckpointError? {
    do {
      _ = try SegmentAnything(checkpoint, imageSize: 256)
      return nil
    } catch {
      if case .checkpoint(let inner) = error { return inner }
      return nil
    }
  }

  @Test(arguments: Golden.names) func everyMissingTensorIsNamed(name: String) throws {
    let base = try openCheckpoint(Golden.fixture("\(name).safetensors"))
    for key in base.keys {
      // The classifier is never read.
      if key.contains("norm_head") || key.contains(".head.") { continue }
      let error = refusal(Altered(base: base, dropped: key))
      switch error {
      case .wrongTensors(_, let missing, let unexpected):
        // By its shape this one tells EfficientSAM from SAM, so without it SAM's other tensors are missed as well.
        let tells = name == "efficientsam" && key == "image_encoder.pos_embed"
        #expect(tells ? missing.contains(key) : missing == [key] && unexpected.isEmpty, "\(key)")
      case .unrecognised: #expect(key.contains("patch_embed.seq.0.c.weight"))
      default: Issue.record("\(key): \(String(describing: error))")
      }
    }
  }

  @Test func allMissingTensorsAreListedAtOnce() throws {
    let base = try openCheckpoint(Golden.fixture("vit.safetensors"))
    for prefix in ["image_encoder.blocks.0.", "mask_decoder.output_hypernetworks_mlps.", "image_encoder.neck.2"] {
      let lacking = base.keys.filter { $0.hasPrefix(prefix) }
      let error = refusal(Altered(base: base, droppedPrefix: prefix))
      guard case .wrongTensors(_, let missing, let unexpected) = error else {
        Issue.record("\(prefix): \(String(describing: error))")
        continue
      }
      #expect(missing.allSatisfy { $0.hasPrefix(prefix) } && unexpected.isEmpty)
      // Of a list that is gone as a whole, one child tells.
      #expect(missing.sorted() == lacking || prefix.hasSuffix("mlps."), "\(missing)")
    }
  }

  @Test func tensorsThatNoPartReadsAreListed() throws {
    let base = try openCheckpoint(Golden.fixture("vit.safetensors"))
    let extra = ["mask_decoder.lq_token.weight", "image_encoder.blocks.0.attn.lora_a", "step"]
    #expect(
      refusal(Altered(base: base, extra: extra)) == .wrongTensors(path: "altered", missing: [], unexpected: extra))
    let renamed = Altered(base: base, dropped: "image_encoder.neck.0.weight", extra: ["image_encoder.neck.0.kernel"])
    #expect(
      refusal(renamed)
        == .wrongTensors(
          path: "altered", missing: ["image_encoder.neck.0.weight"], unexpected: ["image_encoder.neck.0.kernel"]))
  }

  @Test func whatOfficialLoadersPassOverMayBeThere() throws {
    let base = try openCheckpoint(Golden.fixture("vit.safetensors"))
    #expect(refusal(Altered(base: base, extra: ["pixel_mean", "pixel_std"])) == nil)
    let beside = ["optimizer.state.0.step", "model.pixel_mean", "model.image_encoder.bn.num_batches_tracked"]
    #expect(refusal(Altered(base: base, extra: beside, prefix: "model.")) == nil)
  }

  @Test func aLongListIsCutShortInWords() {
    let names = (1...23).map { "t\($0)" }
    let text = "\(CheckpointError.wrongTensors(path: "f", missing: names, unexpected: ["x"]))"
    #expect(text.hasSuffix("t19, t20 and 3 more; not part of the model: x"))
  }

  @Test(arguments: Golden.names) func tensorsOfStrangeShapesAreRefused(name: String) throws {
    let base = try openCheckpoint(Golden.fixture("\(name).safetensors"))
    for key in base.keys {
      if key.contains("norm_head") || key.contains(".head.") { continue }
      for shape in [[0], [7], [3, 5], [1, 2, 3, 5]] {
        let error = refusal(Altered(base: base, changed: (key, Tensor(shape))))
        #expect(error != nil, "\(key) as \(shape)")
      }
    }
  }

  @Test func prefixesAreSeenThrough() throws {
    let base = try openCheckpoint(Golden.fixture("vit.safetensors"))
    for prefix in ["module.", "model.", "sam."] {
      let model = try SegmentAnything(Altered(base: base, prefix: prefix))
      #expect(model.imageSize == 256)
      #expect(model.architecture == "vit")
    }
    #expect(refusal(Altered(base: base, prefix: "other.")) != nil)
  }

  @Test func badSettingsAreRefused() throws {
    let base = try openCheckpoint(Golden.fixture("tinyvit.safetensors"))
    #expect(throws: SegmentAnythingError.self) { try SegmentAnything(base, imageSize: 100) }
    #expect(throws: SegmentAnythingError.self) { try SegmentAnything(base, imageSize: 1 << 20) }
    #expect(throws: SegmentAnythingError.self) { try SegmentAnything(base, pixelStd: [1, 0, 1]) }
    #expect(throws: SegmentAnythingError.self) { try SegmentAnything(base, pixelMean: [1]) }
  }
}
