/// The three ways in which Osprey is asked about one region.
public enum LabelStyle: String, Sendable, CaseIterable {
  /// A short phrase [demo/osprey_inference.py].
  case short
  /// Whole sentences [demo/osprey_inference.py].
  case detailed
  /// One word or phrase [osprey/eval/lvis_paco_eval.py].
  case category
}

/// A question about regions of a picture: `<mask><pos>` stands for each mask in turn, or `<regionN>` for the N-th. It may
/// follow earlier ones about the same picture, which are then part of what the model reads.
public struct Question: Sendable, Equatable {
  /// An earlier question, with what was answered.
  public struct Turn: Sendable, Equatable {
    public let question: String
    public let answer: String

    public init(question: String, answer: String) { (self.question, self.answer) = (question, answer) }
  }

  public let text: String
  public let history: [Turn]
  /// How the answer is tidied: like a label's, or a free answer's.
  let style: LabelStyle?

  /// A question in the user's own words.
  ///
  /// - Parameter history: what was asked and answered before, the oldest first. The masks are those of all questions
  ///   together, in order.
  public init(_ text: String, history: [Turn] = []) { (self.text, self.history, style) = (text, history, nil) }

  /// A question as the reference asks it.
  public init(_ style: LabelStyle) {
    (self.style, history) = (style, [])
    text =
      switch style {
      case .short: "Please give me a short description of <mask><pos>. Using a short phrase."
      case .detailed: "Can you give me a detailed description of <mask><pos>?"
      case .category: "What is the category of <mask><pos>? Using only one word or phrase."
      }
  }

  /// As the model reads it, with `<mask><pos>` for each region.
  public var asRead: String { text.replacing(Self.numbered, with: Self.pair) }

  /// The numbers of `<regionN>` in a text, in order.
  public static func regionNumbers(in text: String) -> [Int] {
    text.matches(of: numbered).compactMap { Int($0.output.1) }
  }

  /// Another number for each `<regionN>`.
  public static func renumbered(_ text: String, _ number: (Int) -> Int) -> String {
    text.replacing(numbered) { "<region\(number(Int($0.output.1) ?? 0))>" }
  }

  static let pair = "<mask><pos>"
  // Nine digits are read as a number without overflow; more are text.
  private static var numbered: Regex<(Substring, Substring)> { /<region([0-9]{1,9})>/ }

  enum Part: Equatable {
    case text(String)
    /// The mask of this index.
    case region(Int)
  }

  /// A question taken apart, and its answer if it has one already.
  struct PromptTurn: Equatable {
    var parts: [Part]
    var answer: String?
  }

  /// The earlier questions and this one taken apart. A lone `<mask>`, `<pos>`, `<image>`, `</s>` and the like are plain
  /// text, in answers everything is.
  ///
  /// - Parameter masks: how many masks there are; each must be named at least once.
  func turns(masks: Int) throws(OspreyError) -> [PromptTurn] {
    let texts = history.map(\.question) + [text]
    var turns: [PromptTurn] = []
    if texts.contains(where: { $0.contains(Self.numbered) }) {
      guard !texts.contains(where: { $0.contains(Self.pair) }) else {
        throw .regionPlaceholder(reason: "use either <mask><pos> or <region1>, <region2>, …, not both")
      }
      var named = Set<Int>()
      for text in texts { turns.append(PromptTurn(parts: try Self.numberedParts(text, masks: masks, &named))) }
      guard named.count == masks else { throw .regionCount(inQuestion: named.count, masks: masks) }
    } else {
      var count = 0
      for text in texts { turns.append(PromptTurn(parts: Self.pairedParts(text, &count))) }
      guard count == masks else { throw .regionCount(inQuestion: count, masks: masks) }
    }
    for (i, turn) in history.enumerated() { turns[i].answer = turn.answer }
    return turns
  }

  private static func pairedParts(_ text: String, _ count: inout Int) -> [Part] {
    var parts: [Part] = []
    for (i, piece) in text.split(separator: pair, omittingEmptySubsequences: false).enumerated() {
      if i > 0 {
        parts.append(.region(count))
        count += 1
      }
      if !piece.isEmpty { parts.append(.text(String(piece))) }
    }
    return parts
  }

  private static func numberedParts(
    _ text: String, masks: Int, _ named: inout Set<Int>
  ) throws(OspreyError) -> [Part] {
    var (parts, rest) = ([Part](), text[...])
    while let match = rest.firstMatch(of: numbered) {
      let number = Int(match.output.1) ?? 0
      guard number >= 1, number <= masks else {
        throw .regionPlaceholder(reason: "<region\(number)> is named, and there are \(masks) masks, counted from 1")
      }
      let before = rest[..<match.range.lowerBound]
      if !before.isEmpty { parts.append(.text(String(before))) }
      parts.append(.region(number - 1))
      named.insert(number)
      rest = rest[match.range.upperBound...]
    }
    if !rest.isEmpty { parts.append(.text(String(rest))) }
    return parts
  }
}
