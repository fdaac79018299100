import Checkpoints
import Foundation
import Tensors

/// The files of a labeler, opened but not read.
public struct OspreySource: Sendable {
  /// Path of `config.json`.
  public let configuration: String
  /// Path of `tokenizer.model`.
  public let tokenizer: String
  /// Projector, mask extractor and language model.
  public let weights: any Checkpoint
  /// The ConvNeXt trunk, in open_clip's names; if nil, `weights` has it.
  public let visionTower: (any Checkpoint)?
  public let preprocessor: ImagePreprocessor
  /// Fitted to the model, if it was.
  public let calibration: VocabularyCalibration
  /// Of the trunk's products; all others are fp32.
  public let trunkPrecision: Precision

  public init(
    configuration: String, tokenizer: String, weights: any Checkpoint, visionTower: (any Checkpoint)?,
    preprocessor: ImagePreprocessor = ImagePreprocessor(), calibration: VocabularyCalibration = .init(),
    trunkPrecision: Precision = .fp32
  ) {
    (self.configuration, self.tokenizer, self.weights) = (configuration, tokenizer, weights)
    (self.visionTower, self.preprocessor, self.calibration) = (visionTower, preprocessor, calibration)
    self.trunkPrecision = trunkPrecision
  }

  /// Every file of it.
  public var files: [String] { [configuration, tokenizer] + weights.files + (visionTower?.files ?? []) }

  /// Where the vision trunk may lie in a folder whose weights have none; else `OspreyVision` tells what is missing.
  private static let towers = ["vision_tower.safetensors", "open_clip_pytorch_model.bin"]

  /// A Hugging Face folder: `config.json`, `tokenizer.model` and the weights in one file or in shards.
  ///
  /// - Parameter visionTower: path of the open_clip file, if the folder's own trunk is not to be used.
  public init(
    folder: String, visionTower: String? = nil, preprocessor: ImagePreprocessor = ImagePreprocessor(),
    trunkPrecision: Precision = .fp32
  ) throws(OspreyError) {
    let weights = try reading { () throws(CheckpointError) in
      try openCheckpointFolder(folder, alternatives: ["labeler.safetensors"])
    }
    let tower = try reading { () throws(CheckpointError) -> (any Checkpoint)? in
      if let visionTower { return try openCheckpoint(visionTower) }
      if ConvNeXt.scope(in: weights) != nil { return nil }
      let path = Self.towers.map { "\(folder)/\($0)" }.first { FileManager.default.fileExists(atPath: $0) }
      return try path.map { path throws(CheckpointError) in try openCheckpoint(path) }
    }
    self.init(
      configuration: folder + "/config.json", tokenizer: folder + "/tokenizer.model", weights: weights,
      visionTower: tower, preprocessor: preprocessor, trunkPrecision: trunkPrecision)
  }
}

/// The parts of a labeler that see.
struct OspreyVision: Sendable {
  let trunk: ConvNeXt
  let extractor: MaskExtractor
  let projector: Projector
  /// Where each of them lies.
  let scopes: (trunk: WeightScope, extractor: WeightScope, projector: WeightScope)

  /// - Parameter path: of the configuration, for messages.
  init(
    _ weights: any Checkpoint, _ visionTower: (any Checkpoint)?, _ config: LlamaConfiguration, path: String,
    precision: Precision = .fp32
  ) throws(OspreyError) {
    let tower = visionTower ?? weights
    guard let trunkScope = ConvNeXt.scope(in: tower) else {
      let advice = visionTower == nil ? "; name the open_clip file with --vision-tower" : ""
      throw .notFound(what: "ConvNeXt trunk" + advice, path: tower.path)
    }
    let root = WeightScope(weights)
    // Osprey's own place is the root [osprey/model/language_model/osprey_llama.py].
    let extractorScope = [root["mask_extractor"], root["model"]["mask_extractor"]]
      .first { $0.has("feat_linear.weight") }
    guard let extractorScope else { throw .notFound(what: "mask extractor", path: weights.path) }
    let projectorScope = root["model"]["mm_projector"]
    scopes = (trunkScope, extractorScope, projectorScope)

    let trunk = try reading { () throws(CheckpointError) in try ConvNeXt(trunkScope.computing(in: precision)) }
    let widths = trunk.stages.map(\.channels)
    extractor = try reading { () throws(CheckpointError) in
      try MaskExtractor(extractorScope, widths: widths, outputs: config.hiddenSize)
    }
    projector = try reading { () throws(CheckpointError) in
      try Projector(projectorScope, inputs: widths[2], outputs: config.hiddenSize, type: config.projectorType)
    }
    self.trunk = trunk
    if config.projectorType == "identity", widths[2] != config.hiddenSize {
      throw .configuration(path: path, reason: "an identity projector from \(widths[2]) channels")
    }
  }
}
