import Imaging
import Masks
import Tensors

extension Osprey {
  /// The most tokens of one answer, as in the reference.
  public static let maxTokensLimit = 1024
  /// How many questions are decoded together.
  private static let batchSize = 32
  /// Longer questions cannot fit any context and are not tokenised.
  private static let questionLimit = 1 << 16

  /// One question with the masks it is about, in order.
  public struct Request: Sendable {
    public let masks: [BitMask]
    public let question: Question

    public init(masks: [BitMask], question: Question) { (self.masks, self.question) = (masks, question) }
  }

  /// What the language model reads behind a picture.
  struct Prompt {
    /// `[L, D]`: behind the first `shared` positions of the picture's prefix.
    let embeddings: Tensor
    let shared: Int
    let regions: [RegionTokens]
  }

  /// Answers several questions about one picture, decoded together.
  ///
  /// - Parameters:
  ///   - maxTokens: of each answer, 1…1024.
  ///   - isCancelled: asked before each step.
  public func answer(
    _ image: OspreyImage, _ requests: [Request], maxTokens: Int, isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> [Answer] {
    guard (1...Self.maxTokensLimit).contains(maxTokens) else {
      throw .maxTokens(maxTokens, limit: Self.maxTokensLimit)
    }
    var answers: [Answer] = []
    for first in stride(from: 0, to: requests.count, by: Self.batchSize) {
      let batch = requests[first..<min(first + Self.batchSize, requests.count)]
      var prompts: [Prompt] = []
      for request in batch {
        if isCancelled() { throw .cancelled }
        prompts.append(try prompt(image, request))
      }
      // Prompts that share less of the prefix than others repeat what they lack; all read the same part of the cache.
      let generations = try generate(image, prompts, maxTokens: maxTokens, isCancelled: isCancelled)
      for (request, (prompt, generation)) in zip(batch, zip(prompts, generations)) {
        answers.append(answer(request.question, prompt, generation))
      }
    }
    return answers
  }

  /// Answers one question about one or several regions.
  public func answer(
    _ image: OspreyImage, masks: [BitMask], question: Question, maxTokens: Int
  ) throws(OspreyError) -> Answer {
    try answer(image, [Request(masks: masks, question: question)], maxTokens: maxTokens)[0]
  }

  /// Labels one region.
  public func label(
    _ image: OspreyImage, mask: BitMask, style: LabelStyle, maxTokens: Int
  ) throws(OspreyError) -> Answer {
    try answer(image, masks: [mask], question: Question(style), maxTokens: maxTokens)
  }

  /// Labels several regions, decoded together.
  public func labels(
    _ image: OspreyImage, masks: [BitMask], style: LabelStyle, maxTokens: Int, isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> [Answer] {
    let requests = masks.map { Request(masks: [$0], question: Question(style)) }
    return try answer(image, requests, maxTokens: maxTokens, isCancelled: isCancelled)
  }

  /// The two vectors of a region, and how its mask fell.
  public func regionTokens(_ features: ImageFeatures, _ mask: BitMask) throws(OspreyError) -> RegionTokens {
    guard mask.width == features.width, mask.height == features.height else {
      throw .maskSize(
        expectedWidth: features.width, expectedHeight: features.height, width: mask.width, height: mask.height)
    }
    return extractor(features.pyramid, mask)
  }

  func prompt(_ image: OspreyImage, _ request: Request) throws(OspreyError) -> Prompt {
    let bytes = request.question.text.utf8.count
    guard bytes <= Self.questionLimit else { throw .promptTooLong(tokens: bytes, limit: configuration.context) }
    let parts = try request.question.parts(masks: request.masks.count)
    let slots = PromptTemplate.suffix(parts, tokenizer)
    let total = image.imageEnd + slots.reduce(0) { $0 + ($1.isRegion ? 2 : 1) }
    guard total < configuration.context else { throw .promptTooLong(tokens: total, limit: configuration.context) }
    var regions: [RegionTokens] = []
    for mask in request.masks { regions.append(try regionTokens(image.features, mask)) }

    var shared = 0
    while shared < min(image.overview.count, slots.count - 1), slots[shared] == .token(image.overview[shared]) {
      shared += 1
    }
    return Prompt(
      embeddings: splice(slots[shared...], regions), shared: image.imageEnd + shared, regions: regions)
  }

  /// The vectors of a prompt's slots, `[L, D]`: tokens are looked up, regions are not.
  func splice(_ slots: ArraySlice<PromptTemplate.Slot>, _ regions: [RegionTokens]) -> Tensor {
    var (rows, ids) = ([Tensor](), [Int]())
    func flush() {
      if !ids.isEmpty { rows.append(llama.embed(ids)) }
      ids = []
    }
    for slot in slots {
      switch slot {
      case .token(let id): ids.append(id)
      case .region(let index):
        flush()
        rows.append(regions[index].mask.reshaped([1, -1]))
        rows.append(regions[index].position.reshaped([1, -1]))
      }
    }
    flush()
    return .concatenated(rows)
  }

  func generate(
    _ image: OspreyImage, _ prompts: [Prompt], maxTokens: Int, isCancelled: () -> Bool
  ) throws(OspreyError) -> [Generation] {
    var generations = Array(repeating: Generation(), count: prompts.count)
    for (shared, group) in Dictionary(grouping: prompts.indices, by: { prompts[$0].shared }) {
      let results = try llama.generate(
        group.map { prompts[$0].embeddings }, prefix: (image.prefix, shared), maxTokens: maxTokens,
        isCancelled: isCancelled)
      for (index, result) in zip(group, results) { generations[index] = result }
    }
    return generations
  }

  func answer(_ question: Question, _ prompt: Prompt, _ generation: Generation) -> Answer {
    let words = generation.ids.filter { !tokenizer.isSpecial($0) }
    let logs = generation.logProbabilities
    return Answer(
      text: AnswerText.tidy(tokenizer.decode(words), style: question.style), tokenIds: generation.ids,
      meanLogProbability: logs.isEmpty ? 0 : logs.reduce(0, +) / Double(logs.count),
      evidence: Evidence(
        regions: prompt.regions.map(\.levels), prompt: "\(PromptTemplate.name)/\(question.style?.rawValue ?? "free")",
        isComplete: generation.isFinished))
  }
}

extension PromptTemplate.Slot {
  var isRegion: Bool {
    if case .region = self { return true }
    return false
  }
}
