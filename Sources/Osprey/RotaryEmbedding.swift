import Foundation
import Tensors

/// The angles by which queries and keys turn with their position (Su et al., "RoFormer", 2021), with LLaMA's scalings.
struct RotaryEmbedding: Sendable {
  /// `[d/2]`: radians a position.
  let frequencies: [Float]

  init(_ configuration: LlamaConfiguration) {
    let plain = Self.frequencies(theta: configuration.ropeTheta, headSize: configuration.headSize)
    frequencies = plain.enumerated().map { i, frequency in
      switch configuration.ropeScaling {
      case .none: return frequency
      case .linear(let factor): return frequency / factor
      case .factors(let factors): return frequency / factors[i]
      case .llama3(let factor, let low, let high, let original):
        // Long waves are stretched, short ones kept, those between blended.
        let wavelength = 2 * Float.pi / frequency
        if wavelength < original / high { return frequency }
        if wavelength > original / low { return frequency / factor }
        let smooth = (original / wavelength - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
      }
    }
  }

  /// Without scaling.
  static func frequencies(theta: Float, headSize: Int) -> [Float] {
    (0..<headSize / 2).map { 1 / pow(theta, Float(2 * $0) / Float(headSize)) }
  }

  /// - Returns: cosines and sines, each `[N, d/2]`.
  func angles(_ positions: [Int]) -> (cosines: Tensor, sines: Tensor) {
    let shape = [positions.count, frequencies.count]
    func table(_ function: (Float) -> Float) -> Tensor {
      Tensor(shape) { out in
        for (row, position) in positions.enumerated() {
          for (i, frequency) in frequencies.enumerated() {
            out[row * frequencies.count + i] = function(Float(position) * frequency)
          }
        }
      }
    }
    return (table { cos($0) }, table { sin($0) })
  }
}
