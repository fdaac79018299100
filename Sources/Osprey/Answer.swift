/// What Osprey says about one question.
public struct Answer: Sendable, Equatable {
  public let text: String
  /// A phrase as a label: without the full stop that the demo puts behind every sentence.
  public var phrase: String {
    text.hasSuffix(".") && !text.dropLast().contains(".") ? String(text.dropLast()) : text
  }
  /// Without the end token.
  public let tokenIds: [Int]
  /// The mean natural logarithm of the probability of each token, the end token included: 0 is certain. 0 if none.
  public let meanLogProbability: Double
  public let evidence: Evidence
}

/// What an answer rests on.
public struct Evidence: Sendable, Equatable {
  /// For each region of the question, how its mask fell on res2…res5.
  public let regions: [[LevelEvidence]]
  /// For each region the levels that saw nothing of it. All four empty: the answer is a guess from the whole picture.
  public var emptyLevels: [[String]] { regions.map { $0.filter { $0.cells == 0 }.map(\.level) } }
  /// Whether no level sees anything of one of the regions: an answer about it would be a guess.
  public var hasVanished: Bool { regions.contains(where: \.hasVanished) }
  /// The prompt's template and question, `osprey_v1/short`; `osprey_v1/free` for the user's own.
  public let prompt: String
  /// The question as the model read it, `<mask><pos>` for each region.
  public let question: String
  /// Whether the model ended its answer itself, rather than at the limit.
  public let isComplete: Bool
}

extension [LevelEvidence] {
  /// Whether no level sees anything of the region.
  public var hasVanished: Bool { allSatisfy { $0.cells == 0 } }
}
