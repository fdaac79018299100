/// `label`: masks with words.
public struct LabelRequest: Sendable, Equatable {
  public var image: ImageReference
  public var regions: Regions
  public var style = LabelStyle.short
  /// A question of the user's own: with `<mask>` where the region belongs it is asked about each mask, with `<region1>`,
  /// `<region2>`, … once about those masks.
  public var question: String?
  /// What was asked and answered about the picture before, the oldest first.
  public var history: [Turn] = []
  /// The words to choose from.
  public var vocabulary: [String]?
  /// The longest answer, in tokens.
  public var maxTokens: Int?
  /// For words that are drawn; without it always the likeliest.
  public var temperature: Double?
  public var topP: Double?
  public var seed: Int?
  public var masks = MaskEncoding.cocoRLE

  /// A question with its answer.
  public struct Turn: Sendable, Equatable {
    public var question: String
    public var answer: String
    public init(question: String, answer: String) { (self.question, self.answer) = (question, answer) }
  }

  /// Where the masks come from.
  public enum Regions: Sendable, Equatable {
    case prompts([WirePrompt], multimask: Bool)
    case masks([GivenMask])
    case auto(AutomaticParameters)
  }

  public init(image: ImageReference, regions: Regions) { (self.image, self.regions) = (image, regions) }
}

/// What kind of words are wanted.
public enum LabelStyle: String, Sendable, CaseIterable { case short, detailed, category }
