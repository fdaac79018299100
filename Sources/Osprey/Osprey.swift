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

  /// A model from its parts.
  ///
  /// - Parameters:
  ///   - configuration: path of `config.json`.
  ///   - tokenizer: path of `tokenizer.model`.
  ///   - weights: projector, mask extractor and language model.
  ///   - visionTower: the ConvNeXt trunk, in open_clip's names; if nil, `weights` has it.
  public init(
    configuration: String, tokenizer: String, weights: any Checkpoint, visionTower: (any Checkpoint)? = nil,
    preprocessor: ImagePreprocessor = ImagePreprocessor()
  ) throws(OspreyError) {
    let config = try LlamaConfiguration(path: configuration)
    let pieces = try SentencePieceTokenizer(path: tokenizer)
    let tower = visionTower ?? weights
    guard let trunkScope = ConvNeXt.scope(in: tower) else { throw .notFound(what: "ConvNeXt trunk", path: tower.path) }
    let root = WeightScope(weights)
    // Osprey's own place is the root [osprey/model/language_model/osprey_llama.py].
    let extractorScope = [root["mask_extractor"], root["model"]["mask_extractor"]]
      .first { $0.has("feat_linear.weight") }
    guard let extractorScope else { throw .notFound(what: "mask extractor", path: weights.path) }

    trunk = try reading { () throws(CheckpointError) in try ConvNeXt(trunkScope) }
    let widths = trunk.stages.map(\.channels)
    extractor = try reading { () throws(CheckpointError) in
      try MaskExtractor(extractorScope, widths: widths, outputs: config.hiddenSize)
    }
    projector = try reading { () throws(CheckpointError) in
      try Projector(
        root["model"]["mm_projector"], inputs: widths[2], outputs: config.hiddenSize, type: config.projectorType)
    }
    let language = try reading { () throws(CheckpointError) in try Llama(root, config) }
    guard pieces.vocabularySize <= language.embeddings.rows else {
      throw .tokenizer(
        path: tokenizer,
        reason: "it has \(pieces.vocabularySize) pieces, the model embeds \(language.embeddings.rows)")
    }
    if config.projectorType == "identity", widths[2] != config.hiddenSize {
      throw .configuration(path: configuration, reason: "an identity projector from \(widths[2]) channels")
    }
    llama = language
    decoder = Decoder(language)
    self.tokenizer = pieces
    self.configuration = config
    self.preprocessor = preprocessor
  }

  /// A model from a Hugging Face folder: `config.json`, `tokenizer.model` and the weights in one file or in shards.
  ///
  /// - Parameter visionTower: path of the open_clip file, if the folder's own trunk is not to be used.
  public convenience init(
    folder: String, visionTower: String? = nil, preprocessor: ImagePreprocessor = ImagePreprocessor()
  ) throws(OspreyError) {
    let weights = try reading { () throws(CheckpointError) in
      try openCheckpointFolder(folder, alternatives: ["labeler.safetensors"])
    }
    let tower = try reading { () throws(CheckpointError) -> (any Checkpoint)? in
      if let visionTower { return try openCheckpoint(visionTower) }
      return ConvNeXt.scope(in: weights) == nil ? try openCheckpoint(folder + "/vision_tower.safetensors") : nil
    }
    try self.init(
      configuration: folder + "/config.json", tokenizer: folder + "/tokenizer.model", weights: weights,
      visionTower: tower, preprocessor: preprocessor)
  }

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
