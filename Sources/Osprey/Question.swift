/// The three ways in which Osprey is asked about one region.
public enum LabelStyle: String, Sendable, CaseIterable {
  /// A short phrase [demo/osprey_inference.py].
  case short
  /// Whole sentences [demo/osprey_inference.py].
  case detailed
  /// One word or phrase [osprey/eval/lvis_paco_eval.py].
  case category
}

/// A question about regions of a picture: `<mask><pos>` stands for each mask in turn, or `<regionN>` for the N-th.
public struct Question: Sendable, Equatable {
  public let text: String
  /// How the answer is tidied: like a label's, or a free answer's.
  let style: LabelStyle?

  /// A question in the user's own words.
  public init(_ text: String) { (self.text, style) = (text, nil) }

  /// A question as the reference asks it.
  public init(_ style: LabelStyle) {
    self.style = style
    text =
      switch style {
      case .short: "Please give me a short description of <mask><pos>. Using a short phrase."
      case .detailed: "Can you give me a detailed description of <mask><pos>?"
      case .category: "What is the category of <mask><pos>? Using only one word or phrase."
      }
  }

  enum Part: Equatable {
    case text(String)
    /// The mask of this index.
    case region(Int)
  }

  /// The question taken apart. A lone `<mask>`, `<pos>`, `<image>`, `</s>` and the like are plain text.
  ///
  /// - Parameter masks: how many masks there are; each must be named at least once.
  func parts(masks: Int) throws(OspreyError) -> [Part] {
    let numbered = /<region([0-9]{1,9})>/
    let pairs = text.split(separator: "<mask><pos>", omittingEmptySubsequences: false)
    guard text.contains(numbered) else {
      guard pairs.count - 1 == masks else { throw .regionCount(inQuestion: pairs.count - 1, masks: masks) }
      var parts: [Part] = []
      for (i, piece) in pairs.enumerated() {
        if i > 0 { parts.append(.region(i - 1)) }
        if !piece.isEmpty { parts.append(.text(String(piece))) }
      }
      return parts
    }
    guard pairs.count == 1 else {
      throw .regionPlaceholder(reason: "use either <mask><pos> or <region1>, <region2>, …, not both")
    }
    var (parts, named, rest) = ([Part](), Set<Int>(), text[...])
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
    guard named.count == masks else { throw .regionCount(inQuestion: named.count, masks: masks) }
    return parts
  }
}
