import Imaging
import Masks
import Wire

/// The model of stages "extract" and "language". Called by the daemon from several threads at once.
///
/// What it throws reaches the client: a `WireError` as it is, anything else as `internal`.
public protocol LabelEngine: Sendable {
  var model: ModelDescription { get }

  /// What `stats` tells of it; nothing unless the engine has something to tell.
  var stats: [(String, JSONValue?)] { get }

  /// The same model for the sake of one job, where the engine has a use for knowing whose.
  func working(for errand: Errand) -> any LabelEngine

  /// Stage "extract": the picture's features.
  func look(_ image: Image) throws -> any Held

  /// The same for a picture with its name, where the engine has a use for that.
  func look(_ picture: Picture) throws -> any Held

  /// Stage "language": what every question about the picture shares, run through the language model once.
  func read(_ features: any Held, priority: Int, isCancelled: () -> Bool) throws -> any Held

  /// Words for each mask.
  ///
  /// - Parameters:
  ///   - seen: what `read` gave.
  ///   - masks: of the picture's size, none of them empty.
  ///   - isCancelled: asked between steps; true makes it throw `cancelled`.
  ///   - report: gets a mask's index and words as soon as they are known, each once, in any order.
  func words(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool,
    report: (Int, Words) -> Void
  ) throws

  /// One answer about several masks, the N-th of which the question calls `<regionN>`.
  func answer(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool
  ) throws -> Words
}

extension LabelEngine {
  public var stats: [(String, JSONValue?)] { [] }
  public func look(_ picture: Picture) throws -> any Held { try look(picture.image) }
}

/// What kind of words are wanted.
public struct WordsWish: Sendable, Equatable {
  public var style: LabelStyle
  public var question: String?
  public var history: [LabelRequest.Turn] = []
  public var vocabulary: [String]?
  public var maxTokens: Int?
  public var temperature: Double?
  public var topP: Double?
  public var seed: Int?
  /// Higher goes first.
  public var priority = 0

  public init(style: LabelStyle, question: String? = nil, vocabulary: [String]? = nil, maxTokens: Int? = nil) {
    (self.style, self.question, self.vocabulary, self.maxTokens) = (style, question, vocabulary, maxTokens)
  }

  init(_ request: LabelRequest, priority: Int) {
    self.init(
      style: request.style, question: request.question, vocabulary: request.vocabulary, maxTokens: request.maxTokens)
    (history, self.priority) = (request.history, priority)
    (temperature, topP, seed) = (request.temperature, request.topP, request.seed)
  }
}

/// What a labeler says about one mask, or in answer to a question about several.
public struct Words: Sendable {
  public var label: String
  public var description: String?
  /// How sure the model was of its words, 0…1.
  public var score: Float?
  public var alternatives: [(label: String, score: Float)] = []
  public var evidence: JSONValue?

  public init(
    label: String, description: String? = nil, score: Float? = nil, alternatives: [(label: String, score: Float)] = [],
    evidence: JSONValue? = nil
  ) {
    (self.label, self.description, self.score) = (label, description, score)
    (self.alternatives, self.evidence) = (alternatives, evidence)
  }
}
