import Foundation
import Tensors

/// How words are drawn instead of always taking the likeliest: as transformers does it with `do_sample`.
public struct Sampling: Sendable, Equatable {
  /// Divides the logits: below 1 for the likelier words, above 1 for the others. 0 takes the likeliest.
  public var temperature: Double
  /// Only the likeliest words that together have this probability are drawn from.
  public var topP: Double
  /// The same seed draws the same words, whatever is decoded beside.
  public var seed: UInt64

  public init(temperature: Double, topP: Double = 1, seed: UInt64) {
    (self.temperature, self.topP, self.seed) = (temperature, topP, seed)
  }

  static let temperatureLimit = 100.0
}

/// Chooses a sequence's next token, the likeliest unless sampling is asked for.
struct Chooser: Sendable {
  private let sampling: Sampling?
  private var random: SplitMix64

  init(_ sampling: Sampling?) {
    self.sampling = sampling.flatMap { $0.temperature > 0 ? $0 : nil }
    random = SplitMix64(state: sampling?.seed ?? 0)
  }

  /// - Parameters:
  ///   - logits: `[V]`, of which the first `limit` count.
  /// - Returns: a token, and the natural logarithm of the probability that the model itself gives it.
  mutating func choose(_ logits: Tensor, among limit: Int) -> (index: Int, logProbability: Double) {
    guard let sampling else { return logits.greedyChoice(among: limit) }
    let draw = random.unit()
    return logits.withUnsafe { all in
      let logits = all.prefix(limit)
      let best = Double(logits.reduce(-.infinity) { max($0, $1) })
      let sum = logits.reduce(0.0) { $0 + exp(Double($1) - best) }
      let weights = logits.map { exp((Double($0) - best) / sampling.temperature) }
      let index = Self.pick(weights, topP: sampling.topP, draw: draw)
      return (index, Double(logits[index]) - best - log(sum))
    }
  }

  /// Of equal weights the first comes first, so that nothing depends on how sorting breaks ties.
  private static func pick(_ weights: [Double], topP: Double, draw: Double) -> Int {
    var order = Array(weights.indices)
    var total = weights.reduce(0, +)
    if topP < 1 {
      order.sort { weights[$0] == weights[$1] ? $0 < $1 : weights[$0] > weights[$1] }
      var (kept, mass) = (0, 0.0)
      repeat {
        mass += weights[order[kept]]
        kept += 1
      } while kept < order.count && mass < topP * total
      order.removeLast(order.count - kept)
      total = mass
    }
    var rest = draw * total
    for index in order {
      rest -= weights[index]
      if rest < 0 { return index }
    }
    // Rounding left a hair; the last that can be drawn at all.
    return order.last { weights[$0] > 0 } ?? 0
  }
}

/// Steele, Lea and Flood's generator: any seed will do, and it is the same on every machine.
private struct SplitMix64: Sendable {
  var state: UInt64

  /// In 0..<1.
  mutating func unit() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    z ^= z >> 31
    return Double(z >> 11) * 0x1p-53
  }
}

extension Tensor {
  /// The index of the first greatest of the first `limit` numbers, and its logarithm of probability under a softmax.
  func greedyChoice(among limit: Int) -> (index: Int, logProbability: Double) {
    withUnsafe { all in
      let logits = UnsafeBufferPointer(rebasing: all.prefix(limit))
      var best = 0
      for i in logits.indices where logits[i] > logits[best] { best = i }
      let sum = logits.reduce(0.0) { $0 + exp(Double($1 - logits[best])) }
      return (best, -log(sum))
    }
  }
}
