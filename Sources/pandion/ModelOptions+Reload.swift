import Daemon

extension ModelOptions {
  /// The models, loaded again; threads and all else stay as they are.
  func reloaded() throws -> (segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?) {
    let loader = ModelLoader(precision: precision)
    return (
      try loader.segmentEngine(segmenter), try loader.labelEngine(labeler, visionTower: visionTower, cache: kvCache)
    )
  }
}
