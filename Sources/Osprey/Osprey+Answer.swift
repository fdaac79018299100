import Imaging
import Masks
import Tensors

extension Osprey {
  /// The most tokens of one answer, as in the reference.
  public static let maxTokensLimit = 1024
  /// Longer questions cannot fit any context and are not tokenised.
  private static let questionLimit = 1 << 16

  /// One question with the masks it is about, in order.
  public struct Request: Sendable {
    public let masks: [BitMask]
    /// The masks' tokens, where they are known already.
    let regions: [RegionTokens]?
    public let question: Question
    /// The most tokens of its answer, 1…1024; nil for those of all.
    public let maxTokens: Int?

    public init(masks: [BitMask], question: Question, maxTokens: Int? = nil) {
      (self.masks, regions, self.question, self.maxTokens) = (masks, nil, question, maxTokens)
    }

    public init(regions: [RegionTokens], question: Question, maxTokens: Int? = nil) {
      (masks, self.regions, self.question, self.maxTokens) = ([], regions, question, maxTokens)
    }
  }

  /// How questions are answered.
  public struct Settings: Sendable {
    /// Of each answer, 1…1024.
    public var maxTokens: Int
    /// Nil for the likeliest words, so that results repeat.
    public var sampling: Sampling?
    /// Higher goes first among those who wait for the language model.
    public var priority = 0

    public init(maxTokens: Int, sampling: Sampling? = nil, priority: Int = 0) {
      (self.maxTokens, self.sampling, self.priority) = (maxTokens, sampling, priority)
    }
  }

  /// What the language model reads behind a picture.
  struct Prompt {
    /// `[L, D]`: behind the first `shared` positions of the picture's prefix.
    let embeddings: Tensor
    let shared: Int
    let regions: [RegionTokens]
  }

  /// Answers questions about one picture, decoded together with each other and with those of other callers.
  ///
  /// - Parameters:
  ///   - next: gives the next question, nil when there are no more. Called when there is room, so that masks need not all
  ///     lie in memory.
  ///   - isCancelled: asked before each step.
  ///   - report: gets each answer as it comes, with the place of its question.
  public func answer(
    _ image: OspreyImage, _ settings: Settings, next: () throws(OspreyError) -> Request?,
    isCancelled: () -> Bool = { false }, report: (Int, Answer) throws(OspreyError) -> Void
  ) throws(OspreyError) {
    try Self.check(settings)
    var (count, open) = (0, [Int: (Question, Prompt)]())
    try decoder.run(priority: settings.priority, isCancelled: isCancelled) { () throws(OspreyError) in
      guard let request = try next() else { return nil }
      let maxTokens = request.maxTokens ?? settings.maxTokens
      try Self.check(Settings(maxTokens: maxTokens))
      let prompt = try prompt(image, request)
      open[count] = (request.question, prompt)
      defer { count += 1 }
      return sequence(image, prompt, maxTokens: maxTokens, sampling: settings.sampling, index: count)
    } finished: { sequence throws(OspreyError) in
      guard let (question, prompt) = open.removeValue(forKey: sequence.index) else { return }
      try report(sequence.index, answer(question, prompt, sequence.generation))
    }
  }

  private static func check(_ settings: Settings) throws(OspreyError) {
    guard (1...maxTokensLimit).contains(settings.maxTokens) else {
      throw .maxTokens(settings.maxTokens, limit: maxTokensLimit)
    }
    guard let sampling = settings.sampling else { return }
    guard sampling.temperature >= 0, sampling.temperature <= Sampling.temperatureLimit else {
      throw .sampling(reason: "temperature is \(sampling.temperature), it must be 0…\(Sampling.temperatureLimit)")
    }
    guard sampling.topP >= 0, sampling.topP <= 1 else {
      throw .sampling(reason: "top_p is \(sampling.topP), it must be 0…1")
    }
  }

  /// Answers several questions about one picture, decoded together.
  ///
  /// - Parameters:
  ///   - maxTokens: of each answer, 1…1024.
  ///   - isCancelled: asked before each step.
  public func answer(
    _ image: OspreyImage, _ requests: [Request], maxTokens: Int, sampling: Sampling? = nil,
    isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> [Answer] {
    var (rest, answers) = (requests[...], [Answer?](repeating: nil, count: requests.count))
    try answer(image, Settings(maxTokens: maxTokens, sampling: sampling)) {
      rest.popFirst()
    } isCancelled: {
      isCancelled()
    } report: { index, answer in
      answers[index] = answer
    }
    return answers.compactMap { $0 }
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
    let question = request.question
    let bytes = question.history.reduce(question.text.utf8.count) { $0 + $1.question.utf8.count + $1.answer.utf8.count }
    guard bytes <= Self.questionLimit else { throw .promptTooLong(tokens: bytes, limit: configuration.context) }
    let turns = try question.turns(masks: request.regions?.count ?? request.masks.count)
    let slots = PromptTemplate.suffix(turns, tokenizer)
    let total = image.imageEnd + slots.reduce(0) { $0 + ($1.isRegion ? 2 : 1) }
    guard total < configuration.context else { throw .promptTooLong(tokens: total, limit: configuration.context) }
    var regions = request.regions ?? []
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

  private func sequence(
    _ image: OspreyImage, _ prompt: Prompt, maxTokens: Int, sampling: Sampling?, index: Int
  ) -> DecodingSequence {
    DecodingSequence(
      llama, prompt: prompt.embeddings, prefix: (image.prefix, prompt.shared), maxTokens: maxTokens,
      sampling: sampling, index: index)
  }

  /// What the decoder makes of prompts, in their order.
  func generate(_ image: OspreyImage, _ prompts: [Prompt], maxTokens: Int) throws(OspreyError) -> [Generation] {
    var (started, generations) = (0, [Generation](repeating: Generation(), count: prompts.count))
    try decoder.run(isCancelled: { false }) { () throws(OspreyError) in
      guard started < prompts.count else { return nil }
      defer { started += 1 }
      return sequence(image, prompts[started], maxTokens: maxTokens, sampling: nil, index: started)
    } finished: { sequence throws(OspreyError) in
      generations[sequence.index] = sequence.generation
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
        question: question.asRead,
        isComplete: generation.isFinished))
  }
}

extension PromptTemplate.Slot {
  var isRegion: Bool {
    if case .region = self { return true }
    return false
  }
}
