import Foundation

/// How the probabilities of a vocabulary's words become shares that can be believed.
///
/// A word of n tokens (the end counted) that the model answers with probability P gets `ln P / n^lengthExponent`: 0 takes
/// the probability as it is, 1 its mean over the tokens, so that long names are not at a disadvantage. "None of these" gets
/// what the model keeps for all other answers, `ln(1 − Σ P) + noneBias`. The shares are the softmax of these over
/// `temperature`. `pandion eval --vocabulary … --calibrate` fits the three on held-out pictures.
public struct VocabularyCalibration: Sendable, Equatable, Codable {
  public var temperature: Double
  public var lengthExponent: Double
  public var noneBias: Double

  public init(temperature: Double = 1, lengthExponent: Double = 0, noneBias: Double = 0) {
    (self.temperature, self.lengthExponent, self.noneBias) = (temperature, lengthExponent, noneBias)
  }

  /// The shares of words and, last, of "none of these"; they sum to 1.
  ///
  /// - Parameters:
  ///   - logProbabilities: of the words.
  ///   - lengths: how many tokens each has, the end counted.
  public func shares(_ logProbabilities: [Double], lengths: [Int]) -> [Double] {
    precondition(logProbabilities.count == lengths.count && temperature > 0)
    let mass = logProbabilities.reduce(0) { $0 + exp($1) }
    var scores = zip(logProbabilities, lengths).map { $0 / pow(Double($1), lengthExponent) }
    scores.append(log(max(1 - mass, 1e-12)) + noneBias)
    let best = scores.reduce(-Double.infinity) { max($0, $1) }
    let powers = scores.map { exp(($0 - best) / temperature) }
    let total = powers.reduce(0, +)
    return powers.map { $0 / total }
  }
}
