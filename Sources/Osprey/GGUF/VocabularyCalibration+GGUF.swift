import Checkpoints

extension VocabularyCalibration {
  private static let key = "osprey.vocabulary_calibration"

  /// As the metadata has it: temperature, exponent of the length, bias of "none of these".
  init(_ file: GGUFFile) throws(OspreyError) {
    guard let values = try reading({ () throws(CheckpointError) in try file.numbers(Self.key) }) else {
      self.init()
      return
    }
    guard values.count == 3, values.allSatisfy(\.isFinite), values[0] > 0 else {
      throw .configuration(
        path: file.path, reason: "'\(Self.key)' is \(values), must be three numbers, the first positive")
    }
    self.init(
      temperature: Double(values[0]), lengthExponent: Double(values[1]), noneBias: Double(values[2]))
  }

  var metadata: [(key: String, value: GGUFValue)] {
    [(Self.key, .float32s([Float(temperature), Float(lengthExponent), Float(noneBias)]))]
  }
}
