import Foundation

/// A region with a known answer, weighed: what a calibration is fitted and measured on.
public struct VocabularyObservation: Sendable {
  public let logProbabilities: [Double]
  /// Tokens a word, the end counted.
  public let lengths: [Int]
  /// The index of the right word; nil if none of them is right.
  public let truth: Int?

  public init(_ weighed: WeighedVocabulary, truth: String) {
    (logProbabilities, lengths) = (weighed.logProbabilities, weighed.lengths)
    self.truth = weighed.words.firstIndex(of: truth)
  }

  init(logProbabilities: [Double], lengths: [Int], truth: Int?) {
    (self.logProbabilities, self.lengths, self.truth) = (logProbabilities, lengths, truth)
  }

  /// The same region with a vocabulary that lacks the right word: "none of these" is right now.
  public var withoutTruth: VocabularyObservation? {
    guard let truth, logProbabilities.count > 1 else { return nil }
    var (rest, restLengths) = (logProbabilities, lengths)
    rest.remove(at: truth)
    restLengths.remove(at: truth)
    return VocabularyObservation(logProbabilities: rest, lengths: restLengths, truth: nil)
  }

  /// Where the right share stands.
  private var index: Int { truth ?? logProbabilities.count }

  func loss(_ calibration: VocabularyCalibration) -> Double {
    -log(max(calibration.shares(logProbabilities, lengths: lengths)[index], 1e-12))
  }

  /// The greatest share, whether it is the right one, and Brier's sum of squares over all shares.
  func outcome(_ calibration: VocabularyCalibration) -> (confidence: Double, isRight: Bool, brier: Double) {
    let shares = calibration.shares(logProbabilities, lengths: lengths)
    var best = 0
    for i in shares.indices where shares[i] > shares[best] { best = i }
    let squares = shares.reduce(0) { $0 + $1 * $1 }
    return (shares[best], best == index, squares - 2 * shares[index] + 1)
  }
}

extension VocabularyCalibration {
  /// How far shares can be believed.
  public struct Figures: Sendable, Equatable {
    public var accuracy: Double
    /// Brier's score, 0 (certain and right) to 2 (certain and wrong).
    public var brier: Double
    /// The expected calibration error over fifteen equal bins of the greatest share (Guo et al., 2017).
    public var calibrationError: Double
  }

  public func figures(_ observations: [VocabularyObservation]) -> Figures {
    var bins = [(count: Int, confidence: Double, right: Int)](repeating: (0, 0, 0), count: 15)
    var (right, brier) = (0, 0.0)
    for observation in observations {
      let outcome = observation.outcome(self)
      let bin = min(Int(outcome.confidence * Double(bins.count)), bins.count - 1)
      bins[bin].count += 1
      bins[bin].confidence += outcome.confidence
      bins[bin].right += outcome.isRight ? 1 : 0
      right += outcome.isRight ? 1 : 0
      brier += outcome.brier
    }
    let n = Double(max(observations.count, 1))
    let gap = bins.reduce(0) { $0 + abs($1.confidence - Double($1.right)) }
    return Figures(accuracy: Double(right) / n, brier: brier / n, calibrationError: gap / n)
  }

  /// The calibration under which the right answers of some observations are likeliest: one parameter after the other by
  /// steps that shrink, which is enough for three.
  public static func fitted(to observations: [VocabularyObservation]) -> VocabularyCalibration {
    func loss(_ c: VocabularyCalibration) -> Double { observations.reduce(0) { $0 + $1.loss(c) } }
    var best = VocabularyCalibration()
    var least = loss(best)
    func improve(_ change: (inout VocabularyCalibration) -> Void) -> Bool {
      var next = best
      change(&next)
      next.lengthExponent = min(max(next.lengthExponent, 0), 1)
      next.temperature = min(max(next.temperature, 0.05), 20)
      next.noneBias = min(max(next.noneBias, -20), 20)
      let value = loss(next)
      guard value < least else { return false }
      (best, least) = (next, value)
      return true
    }
    for step in [1.0, 0.5, 0.25, 0.1, 0.05, 0.02] {
      var hasMoved = true
      while hasMoved {
        hasMoved = false
        for sign in [1.0, -1.0] {
          while improve({ $0.temperature *= exp(sign * step) }) { hasMoved = true }
          while improve({ $0.noneBias += 2 * sign * step }) { hasMoved = true }
          while improve({ $0.lengthExponent += sign * step / 2 }) { hasMoved = true }
        }
      }
    }
    return best
  }
}
