import Checkpoints
import Foundation
import Imaging
import Masks
import Osprey
import Tensors
import Testing

/// What `Tools/parity/osprey.py` made.
enum Fixture {
  static func path(_ name: String) -> String {
    Bundle.module.bundlePath + "/Fixtures/" + name
  }

  static func json<T: Decodable>(_ name: String, as type: T.Type) throws -> T {
    try JSONDecoder().decode(type, from: Data(contentsOf: URL(fileURLWithPath: path(name))))
  }

  /// The pattern of the script's `picture`.
  static func picture(width: Int, height: Int) -> Image {
    var pixels: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<3 { pixels.append(UInt8(((x * (3 + c) + y * (5 - c)) ^ ((x * y) >> (4 + c))) & 255)) }
      }
    }
    return Image(width: width, height: height, pixels: pixels)
  }

  /// - Parameter configuration: another one's `config.json` for the same weights.
  static func model(_ name: String, size: Int, configuration: String? = nil) throws -> Osprey {
    try Osprey(
      configuration: path((configuration ?? name) + ".config.json"), tokenizer: path("tokenizer.model"),
      weights: openCheckpoint(path(name + ".safetensors")),
      visionTower: openCheckpoint(path(name + ".tower.safetensors")), preprocessor: ImagePreprocessor(size: size))
  }
}

struct Golden: Decodable {
  struct Case: Decodable {
    let name: String
    let width: Int
    let height: Int
    let question: String
    let runs: [[Int]]
    let promptIds: [Int]
    let generated: [Int]
    let meanLogProbability: Double
    let raw: String
    let answer: String
    let empty: [[String]]

    enum CodingKeys: String, CodingKey {
      case name, width, height, question, runs, generated, raw, answer, empty
      case promptIds = "prompt_ids"
      case meanLogProbability = "mean_log_probability"
    }

    var masks: [BitMask] {
      runs.map { runs in
        var (bits, value): ([UInt8], UInt8) = ([], 0)
        for run in runs {
          bits += Array(repeating: value, count: run)
          value = 1 - value
        }
        return BitMask(width: width, height: height, bits: bits)
      }
    }

    var asked: Question { LabelStyle(rawValue: question).map { Question($0) } ?? Question(question) }
  }

  let size: Int
  let cases: [Case]
}

/// Expects a tensor to agree with its golden, of which every 7th or 101st number is kept if it is large.
func expectClose(
  _ actual: Tensor, _ golden: Tensor, _ name: String, tolerance: Float = 1e-4,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let step = actual.count < 9000 ? 1 : actual.count < 100_000 ? 7 : 101
  let (mine, theirs) = (actual.values, golden.values)
  guard theirs.count == (mine.count + step - 1) / step else {
    Issue.record("\(name): \(actual.shape) beside \(theirs.count) numbers", sourceLocation: sourceLocation)
    return
  }
  var (worst, index): (Float, Int) = (0, 0)
  for i in theirs.indices where !(abs(mine[i * step] - theirs[i]) <= worst) {
    (worst, index) = (abs(mine[i * step] - theirs[i]), i * step)
  }
  let scale = theirs.reduce(0) { max($0, abs($1)) }
  #expect(
    worst <= tolerance * scale, "\(name): off by \(worst) at \(index) of \(actual.shape), scale \(scale)",
    sourceLocation: sourceLocation)
  if ProcessInfo.processInfo.environment["PARITY_FIGURES"] != nil {
    print("parity \(name): largest difference \(worst / max(scale, 1e-30)) of scale \(scale), at \(index)")
  }
}
