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

  /// - Parameters:
  ///   - cacheBytes: the most memory of pictures and what was seen in them; the pipeline's own bound without it.
  ///   - workers: who do some stages; no models are loaded here for those.
  func pipeline(
    segments: Bool = true, labels: Bool = true, cacheBytes: Int? = nil, workers: WorkerPool? = nil
  ) throws -> Pipeline {
    try apply()
    let theirs = workers?.stages ?? []
    var (segmenter, labeler) = try engines(
      segments: segments && !theirs.contains(.segment), labels: labels && !theirs.contains(.language))
    if let workers {
      if segments, theirs.contains(.segment) { segmenter = RemoteSegmenter(workers) }
      if labels, theirs.contains(.language) { labeler = RemoteLabeler(workers) }
    }
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

extension ModelOptions {
  /// What a worker of a stage does, with the model that it needs for that.
  func service(_ stage: Pipeline.Stage, cacheBytes: Int) throws -> any StageService {
    let (loader, pictures) = (ModelLoader(precision: precision), PictureStore(bytes: cacheBytes))
    if stage == .segment { return SegmentService(try loader.segmentEngine(segmenter), pictures: pictures) }
    let engine = try loader.labelEngine(labeler, visionTower: visionTower, cache: kvCache)
    return stage == .extract ? ExtractService(engine, pictures: pictures) : LanguageService(engine, bytes: cacheBytes)
  }
}
