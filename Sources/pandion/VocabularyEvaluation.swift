import Foundation
import Osprey

/// How well a labeler picks from a list of words, and how far its shares can be believed.
struct VocabularyEvaluation {
  let words: [String]
  private var observations: [(picture: Int, isPart: Bool, observation: VocabularyObservation)] = []

  /// - Parameter source: a file with a word a line, or `categories` for those of the pictures.
  init(_ source: String, _ truth: EvaluationSet) throws {
    if source == "categories" {
      words = Set(truth.pictures.flatMap { $0.instances.map(\.category) }).sorted()
    } else {
      words = try FileReading.lines(source)
    }
  }

  mutating func add(_ weighed: WeighedVocabulary, _ instance: EvaluationSet.Instance, picture: Int) {
    observations.append((picture, instance.isPart, VocabularyObservation(weighed, truth: instance.category)))
  }

  /// - Parameter fitting: fit to every other picture and measure on the rest, rather than measure `calibration` on all.
  func figures(_ calibration: VocabularyCalibration, fitting: Bool) -> [String: Double] {
    var (calibration, measured) = (calibration, observations)
    var result: [String: Double] = [:]
    if fitting {
      let known = observations.filter { $0.picture % 2 == 0 }
      calibration = .fitted(to: Self.withAndWithoutTruth(known.map(\.observation)))
      measured = observations.filter { $0.picture % 2 == 1 }
      result["vocabulary_temperature"] = calibration.temperature
      result["vocabulary_length_exponent"] = calibration.lengthExponent
      result["vocabulary_none_bias"] = calibration.noneBias
    }
    for (suffix, isPart) in [("", false), ("_parts", true)] {
      let those = measured.filter { $0.isPart == isPart }.map(\.observation)
      guard !those.isEmpty else { continue }
      result["vocabulary_accuracy" + suffix] = calibration.figures(those).accuracy
      let all = calibration.figures(Self.withAndWithoutTruth(those))
      result["vocabulary_brier" + suffix] = all.brier
      result["vocabulary_ece" + suffix] = all.calibrationError
    }
    return result
  }

  private static func withAndWithoutTruth(_ observations: [VocabularyObservation]) -> [VocabularyObservation] {
    observations + observations.compactMap(\.withoutTruth)
  }
}
