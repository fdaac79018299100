import Checkpoints
import SegmentAnything
import Tensors
import Testing

/// A checkpoint with one tensor taken away or changed.
private struct Altered: Checkpoint {
  let base: any Checkpoint
  var dropped: String?
  var changed: (key: String, tensor: Tensor)?
  var prefix = ""

  var path: String { "altered" }
  var keys: [String] { base.keys.filter { $0 != dropped }.map { prefix + $0 } }

  private func baseKey(_ key: String) -> String? {
    guard key.hasPrefix(prefix) else { return nil }
    let name = String(key.dropFirst(prefix.count))
    return name == dropped ? nil : name
  }

  func shape(of key: String) -> [Int]? {
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
      case .missing(let missing, _): #expect(missing == key)
      case .unrecognised: #expect(key.contains("patch_embed.seq.0.c.weight"))
      default: Issue.record("\(key): \(String(describing: error))")
      }
    }
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
