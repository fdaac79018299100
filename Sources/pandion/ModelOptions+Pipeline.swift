import Daemon
import Wire

extension ModelOptions {
  /// A pipeline with the models that an operation needs: with masks given, no segmenter is loaded.
  func pipeline(for operation: Request.Operation) throws -> Pipeline {
    var (segments, labels) = (true, true)
    switch operation {
    case .segment, .auto: labels = false
    case .label(let request): if case .masks = request.regions { segments = false }
    default: break
    }
    return try pipeline(segments: segments, labels: labels)
  }

  /// - Parameter cacheBytes: the most memory of pictures and what was seen in them; the pipeline's own bound without it.
  func pipeline(segments: Bool = true, labels: Bool = true, cacheBytes: Int? = nil) throws -> Pipeline {
    apply()
    let loader = ModelLoader(precision: precision)
    return Pipeline(
      segmenter: segments ? try loader.segmentEngine(segmenter) : nil,
      labeler: labels ? try loader.labelEngine(labeler, visionTower: visionTower, cache: kvCache) : nil,
      version: Version.current, pictures: cacheBytes.map { PictureStore(bytes: $0) } ?? PictureStore())
  }
}
