/// The user's own words: an answer is brought to the most similar of them.
///
/// The measure is the Dice coefficient of letter pairs, with an answer that holds a whole entry ("a red mug" for "mug")
/// counted as certain. It compares spellings, not meanings.
struct Vocabulary {
  private let entries: [(word: String, pairs: Set<String>)]

  /// - Parameter words: at least one.
  init(_ words: [String]) { entries = words.map { ($0, Self.pairs($0)) } }

  /// All entries with their similarity to an answer, 0…1, the best first.
  func ranked(_ answer: String) -> [(label: String, score: Float)] {
    let pairs = Self.pairs(answer)
    let scored = entries.enumerated().map { index, entry in
      (index: index, label: entry.word, score: Self.similarity(pairs, entry.pairs, answer, entry.word))
    }
    return scored.sorted { $0.score == $1.score ? $0.index < $1.index : $0.score > $1.score }
      .map { ($0.label, $0.score) }
  }

  private static func similarity(_ a: Set<String>, _ b: Set<String>, _ answer: String, _ word: String) -> Float {
    if answer.lowercased() == word.lowercased() { return 1 }
    let tokens = answer.lowercased().split { !$0.isLetter && !$0.isNumber }
    let wanted = word.lowercased().split { !$0.isLetter && !$0.isNumber }
    // Longer entries that are held whole say more than shorter ones.
    if !wanted.isEmpty, tokens.count >= wanted.count,
      (0...tokens.count - wanted.count).contains(where: { Array(tokens[$0..<$0 + wanted.count]) == wanted })
    {
      return 0.9 + 0.1 * Float(wanted.count) / Float(tokens.count + 1)
    }
    guard !a.isEmpty, !b.isEmpty else { return 0 }
    return 0.9 * 2 * Float(a.intersection(b).count) / Float(a.count + b.count)
  }

  /// The pairs of neighbouring letters, with the ends of words.
  private static func pairs(_ text: String) -> Set<String> {
    var pairs: Set<String> = []
    for token in text.lowercased().split(whereSeparator: { !$0.isLetter && !$0.isNumber }) {
      let letters = Array(" \(token) ")
      for index in 1..<letters.count { pairs.insert(String(letters[index - 1...index])) }
    }
    return pairs
  }
}
