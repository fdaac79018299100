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
    let (segmenter, labeler) = try engines(segments: segments, labels: labels)
    return Pipeline(
      segmenter: segmenter, labeler: labeler, version: Version.current,
      pictures: cacheBytes.map { PictureStore(bytes: $0) } ?? PictureStore())
  }

  /// The models alone, for `pipeline`, and to take the place of those of one.
  func engines(
    segments: Bool = true, labels: Bool = true
  ) throws -> (segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?) {
    let loader = ModelLoader(precision: precision)
    return (
      segments ? try loader.segmentEngine(segmenter) : nil,
      labels ? try loader.labelEngine(labeler, visionTower: visionTower, cache: kvCache) : nil
    )
  }
}
