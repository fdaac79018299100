import Imaging
import Masks
import SegmentAnything
import Wire

extension ImageEmbedding: Held {}

/// `SegmentAnything` as the stage "segment" wants it.
public struct SegmentAnythingEngine: SegmentEngine {
  public let model: ModelDescription
  private let segmenter: SegmentAnything

  /// - Parameters:
  ///   - name: what `models` calls it.
  ///   - digests: of the files it was read from.
  public init(_ segmenter: SegmentAnything, name: String, digests: ModelDigests = ModelDigests()) {
    self.segmenter = segmenter
    model = ModelDescription(name: name, role: "segmenter", architecture: segmenter.architecture, digests: digests)
  }

  public func embed(_ image: Image) throws -> any Held { segmenter.embed(image) }

  public func predict(
    _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool, isCancelled: () -> Bool
  ) throws -> [[FoundMask]] {
    let embedding = try own(embedding)
    do throws(SegmentAnythingError) {
      for (index, prompt) in prompts.enumerated() { try segmenter.validate(prompt, index: index, embedding) }
      var results: [[FoundMask]] = []
      // One prompt at a time, so that only one prompt's masks lie in memory as pixels.
      for prompt in prompts {
        if isCancelled() { throw .cancelled }
        results.append(found(try segmenter.predict(embedding, prompt, multimask: multimask), withLogits))
      }
      return results
    } catch {
      throw Self.explain(error)
    }
  }

  private func found(_ prediction: Prediction, _ withLogits: Bool) -> [FoundMask] {
    let shape = prediction.lowResLogits.shape
    return prediction.masks.indices.map { index in
      var mask = FoundMask(
        mask: RunLengthEncoding(prediction.masks[index]), predictedIoU: prediction.iouPredictions[index],
        stabilityScore: prediction.stabilityScores[index])
      if withLogits {
        let size = shape[1] * shape[2]
        let values = prediction.lowResLogits.withUnsafe { Array($0[index * size..<(index + 1) * size]) }
        mask.logits = FoundMask.Logits(height: shape[1], width: shape[2], values: values)
      }
      return mask
    }
  }

  public func automatic(
    _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool,
    watch: (([FoundMask]) -> Void)?
  ) throws -> [FoundMask] {
    let embedding = try own(embedding)
    do throws(SegmentAnythingError) {
      let generator = try AutomaticMaskGenerator(segmenter, AutomaticMaskOptions(parameters))
      let masks = try generator.generate(
        image, embedding: embedding, proceed: { _, _ in !isCancelled() },
        watch: watch.map { watch in { watch($0.map(Self.found)) } })
      return masks.map(Self.found)
    } catch {
      throw Self.explain(error)
    }
  }

  private static func found(_ mask: AutomaticMask) -> FoundMask {
    var found = FoundMask(mask: mask.mask, predictedIoU: mask.predictedIoU, stabilityScore: mask.stabilityScore)
    found.pointCoords = [mask.pointCoords]
    let crop = mask.cropBox
    found.cropBox = [crop.x, crop.y, crop.width, crop.height]
    return found
  }

  private func own(_ embedding: any Held) throws -> ImageEmbedding {
    guard let embedding = embedding as? ImageEmbedding else {
      throw WireError(.internal, "the embedding is not of this segmenter")
    }
    return embedding
  }

  private static func explain(_ error: SegmentAnythingError) -> WireError {
    switch error {
    case .checkpoint, .badSetting: WireError(.internal, "\(error)")
    case .cancelled: .wasCancelled
    case .tooManyPoints: WireError(.tooLarge, "\(error)")
    default: WireError(.badRequest, "\(error)")
    }
  }
}

extension AutomaticMaskOptions {
  /// SAM's defaults, but for what the request gives.
  public init(_ given: AutomaticParameters) {
    self.init()
    if let grids = given.pointGrids {
      pointGrids = grids.map { $0.map { GridPoint(x: Double($0.x), y: Double($0.y)) } }
      pointsPerSide = nil
    } else if let side = given.pointsPerSide {
      pointsPerSide = side
    }
    pointsPerBatch = given.pointsPerBatch ?? pointsPerBatch
    predIoUThresh = given.predIoUThresh.map { Float($0) } ?? predIoUThresh
    stabilityScoreThresh = given.stabilityScoreThresh.map { Float($0) } ?? stabilityScoreThresh
    stabilityScoreOffset = given.stabilityScoreOffset.map { Float($0) } ?? stabilityScoreOffset
    boxNMSThresh = given.boxNMSThresh.map { Float($0) } ?? boxNMSThresh
    cropNLayers = given.cropNLayers ?? cropNLayers
    cropNMSThresh = given.cropNMSThresh.map { Float($0) } ?? cropNMSThresh
    cropOverlapRatio = given.cropOverlapRatio ?? cropOverlapRatio
    cropNPointsDownscaleFactor = given.cropNPointsDownscaleFactor ?? cropNPointsDownscaleFactor
    minMaskRegionArea = given.minMaskRegionArea ?? minMaskRegionArea
  }
}
