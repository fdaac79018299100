import Checkpoints
import Tensors

extension Osprey {
  /// A model from one file that `pandion models convert` made: configuration and tokenizer from its metadata, the language
  /// model as llama.cpp has it, the rest from the GGUF behind it.
  ///
  /// - Parameter visionTower: path of an open_clip file, if the file's own trunk is not to be used.
  public convenience init(
    gguf path: String, visionTower: String? = nil, trunkPrecision: Precision = .fp32
  ) throws(OspreyError) {
    let file = try reading { () throws(CheckpointError) in try GGUFFile(path: path) }
    let config = try LlamaConfiguration(file)
    let model = try SentencePieceModel(file, rows: config.vocabularySize)
    let tower = try reading { () throws(CheckpointError) in try visionTower.map(openCheckpoint) }
    try self.init(
      config, SentencePieceTokenizer(model, path: path), PackedCheckpoint(file), tower, ImagePreprocessor(file),
      VocabularyCalibration(file), trunkPrecision, paths: (path, path))
  }
}

extension ImagePreprocessor {
  private static let (sizeKey, meanKey, deviationKey) = ("osprey.image_size", "osprey.image_mean", "osprey.image_std")

  /// As the metadata has it; what is not there is as in the original.
  init(_ file: GGUFFile) throws(OspreyError) {
    let size = try reading { () throws(CheckpointError) in try file.integer(Self.sizeKey, in: 32...4096) } ?? 512
    guard size % 32 == 0 else {
      throw .configuration(path: file.path, reason: "'\(Self.sizeKey)' is \(size), must be a multiple of 32")
    }
    func channels(_ key: String, _ fallback: [Float]) throws(OspreyError) -> [Float] {
      let values = try reading { () throws(CheckpointError) in try file.numbers(key) } ?? fallback
      guard values.count == 3, values.allSatisfy(\.isFinite), key != Self.deviationKey || values.allSatisfy({ $0 > 0 })
      else { throw .configuration(path: file.path, reason: "'\(key)' is \(values), must be three numbers") }
      return values
    }
    self.init(
      size: size, mean: try channels(Self.meanKey, Self.clipMean),
      deviation: try channels(Self.deviationKey, Self.clipDeviation))
  }

  var metadata: [(key: String, value: GGUFValue)] {
    [
      (Self.sizeKey, .uint32(UInt32(size))), (Self.meanKey, .float32s(mean)), (Self.deviationKey, .float32s(deviation)),
    ]
  }
}
