import Foundation
import Tensors

extension ModelLoader {
  /// A segmenter as the stages want it, described by its name and its files' digests where a manifest gives them.
  public func segmentEngine(_ specification: String? = nil) throws -> SegmentAnythingEngine {
    let model = try segmenter(specification)
    let (name, manifest) = try describe(specification)
    let files = manifest?.files.filter { $0.path == manifest?.segmenter?.file } ?? []
    return SegmentAnythingEngine(model, name: name, files: Self.digests(files))
  }

  /// A labeler likewise.
  ///
  /// - Parameter cache: how pictures' keys and values are kept; nil leaves it to the labeler.
  public func labelEngine(
    _ specification: String? = nil, visionTower: String? = nil, cache: CacheFormat? = nil
  ) throws -> OspreyEngine {
    let model = try labeler(specification, visionTower: visionTower)
    let (name, manifest) = try describe(specification)
    let files = manifest?.files.filter { $0.path != manifest?.segmenter?.file } ?? []
    return OspreyEngine(model, name: name, files: Self.digests(files), cache: cache)
  }

  private static func digests(_ files: [ModelManifest.File]) -> [(path: String, sha256: String)] {
    files.compactMap { file in file.sha256.map { (file.path, $0) } }
  }

  private func describe(_ specification: String?) throws(ModelError) -> (name: String, manifest: ModelManifest?) {
    let specification = specification ?? ModelCatalog.defaultName
    guard !Self.isPath(specification) else { return (URL(fileURLWithPath: specification).lastPathComponent, nil) }
    return (specification, try catalog.find(specification).manifest)
  }
}
