import Checkpoints
import Foundation
import Osprey
import SegmentAnything
import Tensors

/// Brings the models that somebody names into memory.
///
/// A specification is a NAME, a folder under `Models/`, or a PATH to such a folder, or to a checkpoint or a folder that people already
/// have.
public struct ModelLoader: Sendable {
  public let catalog: ModelCatalog
  /// Of what sees: the segmenter's image encoder and the labeler's trunk.
  public let precision: PrecisionChoice

  public init(catalog: ModelCatalog = ModelCatalog(), precision: PrecisionChoice = .fixed(.fp32)) {
    (self.catalog, self.precision) = (catalog, precision)
  }

  /// What a specification means.
  enum Place {
    case model(InstalledModel)
    case path(String)
  }

  /// Where a model is; the default one without a specification.
  func place(_ specification: String?) throws(ModelError) -> Place {
    let specification = specification ?? ModelCatalog.defaultName
    guard Self.isPath(specification) else { return .model(try catalog.find(specification)) }
    // A folder of ours says by its manifest what others say by file names.
    let manifest = specification + "/model.json"
    guard FileManager.default.fileExists(atPath: manifest) else { return .path(specification) }
    return .model(InstalledModel(folder: specification, manifest: try ModelManifest(path: manifest)))
  }

  /// A segmenter by name or path; the default model's without one.
  public func segmenter(_ specification: String? = nil) throws -> SegmentAnything {
    try segmenter(at: place(specification))
  }

  func segmenter(at place: Place) throws -> SegmentAnything {
    let model: InstalledModel
    switch place {
    case .path(let path): return try SegmentAnything(openCheckpoint(path), precision: precision.precision(nil))
    case .model(let found): model = found
    }
    guard let part = model.manifest.segmenter else {
      throw ModelError.hasNo(part: "segmenter", name: model.manifest.name)
    }
    return try SegmentAnything(
      openCheckpoint(try model.existing(part.file)), imageSize: part.imageSize, pixelMean: part.pixelMean,
      pixelStd: part.pixelStd, precision: precision.precision(part.precisions))
  }

  /// A labeler by name or path; the default model's without one. A path of a file is one that `models convert` made.
  ///
  /// - Parameter visionTower: a raw open_clip file, where the labeler's folder does not name one.
  public func labeler(_ specification: String? = nil, visionTower: String? = nil) throws -> Osprey {
    try labeler(at: place(specification), visionTower: visionTower).labeler
  }

  /// The same with the paths of the files that it was read from.
  func labeler(at place: Place, visionTower: String?) throws -> (labeler: Osprey, files: [String]) {
    if case .path(let path) = place, Self.isFile(path) {
      let labeler = try Osprey(gguf: path, visionTower: visionTower, trunkPrecision: precision.precision(nil))
      return (labeler, [path] + (visionTower.map { [$0] } ?? []))
    }
    let source = try labelerSource(at: place, visionTower: visionTower)
    return (try Osprey(source), source.files)
  }

  /// The files of a labeler by name or folder.
  public func labelerSource(_ specification: String, visionTower: String? = nil) throws -> OspreySource {
    try labelerSource(at: place(specification), visionTower: visionTower)
  }

  private func labelerSource(at place: Place, visionTower: String?) throws -> OspreySource {
    let model: InstalledModel
    switch place {
    case .path(let path):
      return try OspreySource(folder: path, visionTower: visionTower, trunkPrecision: precision.precision(nil))
    case .model(let found): model = found
    }
    guard let part = model.manifest.labeler else {
      throw ModelError.hasNo(part: "labeler", name: model.manifest.name)
    }
    let tower = try visionTower ?? part.visionTower.map { name throws(ModelError) in try model.existing(name) }
    return try OspreySource(
      configuration: model.existing(part.config ?? "config.json"),
      tokenizer: model.existing(part.tokenizer ?? "tokenizer.model"),
      weights: Self.openWeights(model.existing(part.file)),
      visionTower: tower.map { path throws(CheckpointError) in try openCheckpoint(path) },
      preprocessor: ImagePreprocessor(size: part.imageSize ?? 512),
      calibration: part.vocabularyCalibration ?? VocabularyCalibration(),
      trunkPrecision: precision.precision(part.precisions))
  }

  /// A checkpoint, or several that an index names.
  private static func openWeights(_ path: String) throws(CheckpointError) -> any Checkpoint {
    path.hasSuffix(InstalledModel.indexSuffix) ? try ShardedCheckpoint(index: path) : try openCheckpoint(path)
  }

  private static func isFile(_ specification: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: specification, isDirectory: &isFolder) && !isFolder.boolValue
  }

  /// Whether a specification is a path rather than a name: it has a slash or there is such a file.
  private static func isPath(_ specification: String) -> Bool {
    specification.contains("/") || FileManager.default.fileExists(atPath: specification)
  }
}
