import Foundation
import Imaging
import Masks
import Osprey
import Tensors
import Wire

extension ImageFeatures: Held {}
extension OspreyImage: Held {}

/// `Osprey` as the stages "extract" and "language" want it. Callers on several threads are decoded together.
public struct OspreyEngine: LabelEngine {
  public let model: ModelDescription
  let labeler: Osprey
  /// How pictures' keys and values are kept; nil leaves it to the labeler.
  private let cache: CacheFormat?
  /// The longest answer in tokens where a request gives none: a phrase, or some sentences.
  let shortTokens: Int
  let longTokens: Int
  /// How the weights are stored.
  let quantization: String

  public init(
    _ labeler: Osprey, name: String, digests: ModelDigests = ModelDigests(), cache: CacheFormat? = nil,
    shortTokens: Int = 32, longTokens: Int = 256
  ) {
    (self.labeler, self.cache) = (labeler, cache)
    (self.shortTokens, self.longTokens) = (shortTokens, longTokens)
    quantization = labeler.quantization
    model = ModelDescription(name: name, role: "labeler", architecture: "osprey", digests: digests)
  }

  public var stats: [(String, JSONValue?)] {
    let counts = labeler.counts
    return [
      ("steps", .integer(counts.steps)), ("sequences", .integer(counts.sequences)),
      ("tokens", .integer(counts.tokens)),
    ]
  }

  public func look(_ image: Image) throws -> any Held {
    do throws(OspreyError) { return try labeler.features(image) } catch { throw Self.explain(error) }
  }

  public func read(_ features: any Held, priority: Int, isCancelled: () -> Bool) throws -> any Held {
    guard let features = features as? ImageFeatures else {
      throw WireError(.internal, "the features are not of this labeler")
    }
    do throws(OspreyError) {
      return try labeler.prefill(features, cache: cache, priority: priority, isCancelled: isCancelled)
    } catch { throw Self.explain(error) }
  }

  func own(_ seen: any Held) throws(WireError) -> OspreyImage {
    guard let image = seen as? OspreyImage else {
      throw WireError(.internal, "the picture was not read by this labeler")
    }
    return image
  }

  static func explain(_ error: OspreyError) -> WireError {
    switch error {
    case .cancelled: .wasCancelled
    case .regionCount, .regionPlaceholder: WireError(.badRequest, "question: \(error)")
    case .vocabulary: WireError(.badRequest, "\(error)")
    case .maskSize, .maxTokens, .sampling: WireError(.badRequest, "\(error)")
    case .imageSize: WireError(.badRequest, "image: \(error)")
    case .promptTooLong: WireError(.tooLarge, "question: \(error)")
    case .checkpoint, .configuration, .tokenizer, .notFound, .quantized: WireError(.internal, "\(error)")
    }
  }
}
