import Foundation
import Tensors

extension ModelLoader {
  /// A segmenter as the stages want it, described by its name and its files' digests.
  public func segmentEngine(_ specification: String? = nil) throws -> SegmentAnythingEngine {
    let place = try place(specification)
    let model = try segmenter(at: place)
    switch place {
    case .path(let path):
      return SegmentAnythingEngine(model, name: Self.lastName(path), digests: ModelDigests(unknown: [path]))
    case .model(let found):
      let files = found.manifest.files.filter { $0.path == found.manifest.segmenter?.file }
      return SegmentAnythingEngine(model, name: Self.lastName(found.folder), digests: found.digests(of: files))
    }
  }

  /// A labeler likewise.
  ///
  /// - Parameter cache: how pictures' keys and values are kept; nil leaves it to the labeler.
  public func labelEngine(
    _ specification: String? = nil, visionTower: String? = nil, cache: CacheFormat? = nil
  ) throws -> OspreyEngine {
    let place = try place(specification)
    let (model, paths) = try labeler(at: place, visionTower: visionTower)
    switch place {
    case .path(let path):
      return OspreyEngine(model, name: Self.lastName(path), digests: ModelDigests(unknown: paths), cache: cache)
    case .model(let found):
      let files = try found.files.filter { $0.path != found.manifest.segmenter?.file }
      return OspreyEngine(model, name: Self.lastName(found.folder), digests: found.digests(of: files), cache: cache)
    }
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
