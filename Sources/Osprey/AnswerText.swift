import Foundation

/// From decoded tokens to what a user reads.
enum AnswerText {
  /// What Python's `strip` takes away: four separators more than Foundation's whitespace.
  private static let space = CharacterSet.whitespacesAndNewlines.union(
    CharacterSet(charactersIn: "\u{1c}\u{1d}\u{1e}\u{1f}"))

  static func tidy(_ raw: String, style: LabelStyle?) -> String {
    let stripped = raw.trimmingCharacters(in: space)
    switch style {
    case .short, .detailed: return untilRepeated(afterColon(stripped))
    case .category:
      // The evaluation turns punctuation into spaces [osprey/eval/lvis_paco_eval.py]; only what ends a word matters here.
      return afterColon(stripped).trimmingCharacters(
        in: CharacterSet(charactersIn: ".,:").union(space))
    case nil: return untilRepeated(stripped, endsWithStop: stripped.hasSuffix("."))
    }
  }

  /// Between the first colon and the second, if there is any.
  private static func afterColon(_ text: String) -> String {
    let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    return String(parts.count > 1 ? parts[1] : parts[0])
  }

  /// Sentences up to the first that was there before; each ends with a full stop [demo/osprey_inference.py]. The demo
  /// takes the very first sentence for another when it comes again behind a space; here it is the same.
  private static func untilRepeated(_ text: String, endsWithStop: Bool = true) -> String {
    var (seen, result) = (Set<String>(), "")
    for sentence in text.split(separator: ".", omittingEmptySubsequences: true) {
      guard seen.insert(sentence.trimmingCharacters(in: space)).inserted else { break }
      result += sentence + "."
    }
    if !endsWithStop, result.count > text.count { result.removeLast() }
    return result.trimmingCharacters(in: space)
  }
}
