import Checkpoints
import Imaging
import Layers
import Masks
import Tensors

// Osprey (Yuan et al., "Osprey: Pixel Understanding with Visual Instruction Tuning", CVPR 2024).

/// The labeler: picture and masks in, words out. Immutable, so it serves any number of threads.
public final class Osprey: Sendable {
  public let configuration: LlamaConfiguration
  public let preprocessor: ImagePreprocessor
  public let tokenizer: SentencePieceTokenizer
  let trunk: ConvNeXt
  let projector: Projector
  let extractor: MaskExtractor
  let llama: Llama
  let decoder: Decoder
  /// How the words of a user's vocabulary are weighed against each other.
  public let calibration: VocabularyCalibration

  /// A model from its parts.
  ///
  /// - Parameters:
  ///   - configuration: path of `config.json`.
  ///   - tokenizer: path of `tokenizer.model`.
  ///   - weights: projector, mask extractor and language model.
  ///   - visionTower: the ConvNeXt trunk, in open_clip's names; if nil, `weights` has it.
  ///   - calibration: fitted to the model, if it was.
  ///   - trunkPrecision: of the trunk's products; all others are fp32.
  public convenience init(
    configuration: String, tokenizer: String, weights: any Checkpoint, visionTower: (any Checkpoint)? = nil,
    preprocessor: ImagePreprocessor = ImagePreprocessor(), calibration: VocabularyCalibration = .init(),
    trunkPrecision: Precision = .fp32
  ) throws(OspreyError) {
    try self.init(
      LlamaConfiguration(path: configuration), SentencePieceTokenizer(path: tokenizer), weights, visionTower,
      preprocessor, calibration, trunkPrecision, paths: (configuration, tokenizer))
  }

  /// - Parameter paths: where configuration and tokenizer are from, for messages.
  init(
    _ config: LlamaConfiguration, _ pieces: SentencePieceTokenizer, _ weights: any Checkpoint,
    _ visionTower: (any Checkpoint)?, _ preprocessor: ImagePreprocessor, _ calibration: VocabularyCalibration,
    _ trunkPrecision: Precision,
    paths: (configuration: String, tokenizer: String)
  ) throws(OspreyError) {
    let vision = try OspreyVision(weights, visionTower, config, path: paths.configuration, precision: trunkPrecision)
    let language = try reading { () throws(CheckpointError) in try Llama(WeightScope(weights), config) }
    try pieces.check(rows: language.embeddings.rows, path: paths.tokenizer)
    (trunk, extractor, projector) = (vision.trunk, vision.extractor, vision.projector)
    llama = language
    decoder = Decoder(language)
    self.tokenizer = pieces
    self.configuration = config
    self.preprocessor = preprocessor
    self.calibration = calibration
  }

  /// A model from a Hugging Face folder: `config.json`, `tokenizer.model` and the weights in one file or in shards.
  ///
  /// - Parameter visionTower: path of the open_clip file, if the folder's own trunk is not to be used.
  public convenience init(
    folder: String, visionTower: String? = nil, preprocessor: ImagePreprocessor = ImagePreprocessor()
  ) throws(OspreyError) {
    try self.init(OspreySource(folder: folder, visionTower: visionTower, preprocessor: preprocessor))
  }

  public convenience init(_ source: OspreySource) throws(OspreyError) {
    try self.init(
      configuration: source.configuration, tokenizer: source.tokenizer, weights: source.weights,
      visionTower: source.visionTower, preprocessor: source.preprocessor, calibration: source.calibration,
      trunkPrecision: source.trunkPrecision)
  }

  /// The trunk's maps of a picture, finest first: `[h, w, C]` each.
  public func pyramid(_ image: Image) throws(OspreyError) -> [Tensor] { trunk(try preprocessor(image)) }

  /// The trunk's work on a picture, without the language model's.
  public func features(_ image: Image) throws(OspreyError) -> ImageFeatures {
    let input = try preprocessor(image)
    let pyramid = trunk(input)
    let tokens = projector(pyramid[2].reshaped([-1, pyramid[2].shape[2]]))
    return ImageFeatures(
      width: image.width, height: image.height, input: input, pyramid: pyramid, imageTokens: tokens)
  }

  /// The language model's work on a picture that all its questions share.
  ///
  /// - Parameters:
  ///   - cache: how the picture's keys and values are kept; nil for `cacheFormat(for:)`.
  ///   - priority: higher goes first among those who wait for the language model.
  public func prefill(
    _ features: ImageFeatures, cache: CacheFormat? = nil, priority: Int = 0, isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> OspreyImage {
    let before = PromptTemplate.prefix(tokenizer)
    let overview = tokenizer.encode(PromptTemplate.overview)
    let embeddings = Tensor.concatenated([llama.embed(before), features.imageTokens, llama.embed(overview)])
    guard embeddings.shape[0] < configuration.context else {
      throw .promptTooLong(tokens: embeddings.shape[0], limit: configuration.context)
    }
    var prefix = try decoder.prefill(embeddings, priority: priority, isCancelled: isCancelled)
    prefix.pack(as: cache ?? cacheFormat(for: features), heads: configuration.keyValueHeads)
    return OspreyImage(
      features: features, prefix: prefix, imageEnd: before.count + features.imageTokens.shape[0], overview: overview)
  }

  /// Exact where a picture takes little memory, halves where it would take more than 256 MiB.
  public func cacheFormat(for features: ImageFeatures) -> CacheFormat {
    let bytes = llama.emptyCache(capacity: 1).byteCount * features.imageTokens.shape[0]
    return bytes <= 256 << 20 ? .fp32 : .fp16
  }

  /// What the language model has done so far.
  public var counts: DecoderCounts { decoder.counts }

  /// Everything that can be done for a picture before there is a question.
  public func see(_ image: Image, cache: CacheFormat? = nil) throws(OspreyError) -> OspreyImage {
    try prefill(try features(image), cache: cache)
  }
}
