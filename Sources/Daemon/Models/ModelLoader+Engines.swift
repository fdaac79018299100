import Foundation
import Tensors

extension ModelLoader {
  /// A segmenter as the stages want it, described by its name and its files' digests.
  public func segmentEngine(_ specification: String? = nil) throws -> SegmentAnythingEngine {
    let specification = specification ?? ModelCatalog.defaultName
    let model = try segmenter(specification)
    guard !Self.isPath(specification) else {
      return SegmentAnythingEngine(
        model, name: Self.lastName(specification), digests: ModelDigests(unknown: [specification]))
    }
    let found = try catalog.find(specification)
    let files = found.manifest.files.filter { $0.path == found.manifest.segmenter?.file }
    return SegmentAnythingEngine(model, name: specification, digests: found.digests(of: files))
  }

  /// A labeler likewise.
  ///
  /// - Parameter cache: how pictures' keys and values are kept; nil leaves it to the labeler.
  public func labelEngine(
    _ specification: String? = nil, visionTower: String? = nil, cache: CacheFormat? = nil
  ) throws -> OspreyEngine {
    let specification = specification ?? ModelCatalog.defaultName
    let (model, paths) = try openLabeler(specification, visionTower: visionTower)
    guard !Self.isPath(specification) else {
      return OspreyEngine(
        model, name: Self.lastName(specification), digests: ModelDigests(unknown: paths), cache: cache)
    }
    let found = try catalog.find(specification)
    let files = try found.files.filter { $0.path != found.manifest.segmenter?.file }
    return OspreyEngine(model, name: specification, digests: found.digests(of: files), cache: cache)
  }

  private static func lastName(_ path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }
}

extension InstalledModel {
  func digests(of files: [ModelManifest.File]) -> ModelDigests {
    ModelDigests(
      files.compactMap { file in file.sha256.map { (file.path, $0) } },
      unknown: files.filter { $0.sha256 == nil }.map { path($0.path) })
  }
}
