import Foundation
import Masks
import Tensors

/// An entry of a user's vocabulary as an answer.
public struct Choice: Sendable, Equatable {
  /// Nil is "none of these".
  public let word: String?
  /// The natural logarithm of the probability that the model answers exactly this, or nothing of the vocabulary.
  public let logProbability: Double
  /// How likely it is the right one, among the vocabulary and "none of these"; all shares sum to 1.
  public let share: Double

  /// What "none of these" is called in replies.
  public static let none = "none of these"
}

/// The words of a user's vocabulary, weighed for one region.
public struct WeighedVocabulary: Sendable {
  /// Every word once, in the user's order.
  public let words: [String]
  /// The natural logarithm of the probability that the model answers exactly this.
  public let logProbabilities: [Double]
  /// How many tokens each word has, the end counted.
  public let lengths: [Int]

  /// All words and "none of these", the likeliest first; equals in the vocabulary's order.
  public func choices(_ calibration: VocabularyCalibration) -> [Choice] {
    let shares = calibration.shares(logProbabilities, lengths: lengths)
    let mass = logProbabilities.reduce(0) { $0 + exp($1) }
    let rest = log(max(1 - mass, 1e-12))
    let all = zip(words.map(Optional.some) + [nil], zip(logProbabilities + [rest], shares))
    return all.enumerated()
      .sorted { ($1.element.1.1, $0.offset) < ($0.element.1.1, $1.offset) }
      .map { Choice(word: $0.element.0, logProbability: $0.element.1.0, share: $0.element.1.1) }
  }
}

extension Osprey {
  public static let vocabularyLimit = 4096
  private static let wordLimit = 256

  /// What a region is in the user's own words, or none of them: each is weighed as the whole answer, nothing is generated.
  public func choose(
    _ image: OspreyImage, _ region: RegionTokens, among vocabulary: [String], style: LabelStyle = .category,
    isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> [Choice] {
    try weigh(image, region, vocabulary, style: style, isCancelled: isCancelled).choices(calibration)
  }

  /// How probable the model finds each word as its whole answer.
  public func weigh(
    _ image: OspreyImage, _ region: RegionTokens, _ vocabulary: [String], style: LabelStyle = .category,
    isCancelled: () -> Bool = { false }
  ) throws(OspreyError) -> WeighedVocabulary {
    let words = try Self.distinct(vocabulary)
    let prompt = try prompt(image, Request(regions: [region], question: Question(style)))
    let tokens = words.map { tokenizer.encode($0) }
    let longest = prompt.shared + prompt.embeddings.shape[0] + tokens.reduce(0) { max($0, $1.count) }
    guard longest <= configuration.context else {
      throw .promptTooLong(tokens: longest, limit: configuration.context)
    }
    let scores = try llama.logProbabilities(
      of: VocabularyTrie(tokens), words: words.count, end: tokenizer.endId, after: prompt.embeddings,
      prefix: (image.prefix, prompt.shared), isCancelled: isCancelled)
    return WeighedVocabulary(words: words, logProbabilities: scores, lengths: tokens.map { $0.count + 1 })
  }

  private static func distinct(_ vocabulary: [String]) throws(OspreyError) -> [String] {
    guard (1...vocabularyLimit).contains(vocabulary.count) else {
      throw .vocabulary(reason: "has \(vocabulary.count) entries, must have 1…\(vocabularyLimit)")
    }
    var (words, seen) = ([String](), Set<String>())
    for word in vocabulary {
      let word = word.trimmingCharacters(in: .whitespacesAndNewlines)
      guard (1...wordLimit).contains(word.utf8.count) else {
        throw .vocabulary(reason: "has an entry of \(word.utf8.count) bytes, must be 1…\(wordLimit)")
      }
      if seen.insert(word).inserted { words.append(word) }
    }
    return words
  }
}

extension Tensor {
  /// The logarithm of the sum of the exponentials of the first `limit` numbers.
  func logSumExp(among limit: Int) -> Double {
    withUnsafe { all in
      let logits = all.prefix(limit)
      let best = logits.reduce(-Float.infinity) { max($0, $1) }
      return Double(best) + log(logits.reduce(0.0) { $0 + exp(Double($1 - best)) })
    }
  }
}
