import Foundation
import Testing

@testable import Osprey

@Suite struct CalibrationTests {
  /// Regions whose answers come about as often as the model says, once its temperature is undone.
  static func observations(_ count: Int, temperature: Double) -> [VocabularyObservation] {
    var state: UInt64 = 9
    func uniform() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) / Double(1 << 53)
    }
    return (0..<count).map { _ in
      let scores = (0..<6).map { _ in 3 * uniform() }
      let total = scores.reduce(0) { $0 + exp($1) }
      var (left, truth) = (uniform(), 0)
      while truth < 5, left > exp(scores[truth]) / total {
        left -= exp(scores[truth]) / total
        truth += 1
      }
      // The model is surer of itself than it should be, and gives next to nothing to other words.
      let sure = scores.map { exp($0 * temperature) }
      let all = sure.reduce(0, +) * 1.0001
      return VocabularyObservation(
        logProbabilities: sure.map { log($0 / all) }, lengths: Array(repeating: 2, count: 6), truth: truth)
    }
  }

  @Test func sharesAreProbabilitiesUnlessTold() {
    let shares = VocabularyCalibration().shares([log(0.5), log(0.2)], lengths: [2, 7])
    #expect(zip(shares, [0.5, 0.2, 0.3]).allSatisfy { abs($0 - $1) < 1e-12 })
    let long = VocabularyCalibration(lengthExponent: 1).shares([log(0.25), log(0.125)], lengths: [2, 3])
    #expect(abs(long[0] - long[1]) < 1e-12, "half a token each")
    let never = VocabularyCalibration().shares([-.infinity, -.infinity], lengths: [2, 2])
    #expect(never == [0, 0, 1])
    let all = VocabularyCalibration().shares([0], lengths: [2])
    #expect(all[0] > 0.999_999 && all.allSatisfy(\.isFinite))
  }

  @Test func anOverconfidentModelIsCooledDown() {
    let (fit, held) = (Self.observations(1500, temperature: 4), Self.observations(3000, temperature: 4).dropFirst(1500))
    let calibration = VocabularyCalibration.fitted(to: fit)
    #expect(abs(calibration.temperature * Double(2).squareRoot() - 4) < 4, "\(calibration)")
    let (before, after) = (VocabularyCalibration().figures(Array(held)), calibration.figures(Array(held)))
    #expect(after.calibrationError < 0.04 && after.calibrationError < before.calibrationError / 3, "\(before) \(after)")
    #expect(after.brier < before.brier)
    #expect(abs(after.accuracy - before.accuracy) < 0.02)
  }

  @Test func withoutTheRightWordNoneIsRight() {
    let one = VocabularyObservation(logProbabilities: [log(0.9), log(0.01)], lengths: [2, 2], truth: 0)
    #expect(one.outcome(.init()).isRight)
    let other = one.withoutTruth
    #expect(other?.truth == nil && other?.logProbabilities.count == 1)
    #expect(other?.outcome(.init()).isRight == true)
    #expect(other?.withoutTruth == nil)
    #expect(VocabularyCalibration().figures([]).accuracy == 0)
  }
}
