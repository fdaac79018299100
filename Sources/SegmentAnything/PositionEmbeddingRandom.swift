import Checkpoints
import Foundation
import Tensors

/// Random Fourier features of a position. Source: `prompt_encoder.py`, `PositionEmbeddingRandom`.
struct PositionEmbeddingRandom: Sendable {
  /// `positional_encoding_gaussian_matrix` `[2, C/2]`, the frequencies of x and of y.
  let frequencies: [Float]
  /// C
  let width: Int

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    frequencies = try scope.tensor("positional_encoding_gaussian_matrix", [2, width / 2]).values
    self.width = width
  }

  /// The features of a position in [0, 1]²: sines, then cosines, `[C]`.
  func callAsFunction(x: Float, y: Float) -> [Float] {
    let half = width / 2
    let (cx, cy) = (2 * x - 1, 2 * y - 1)
    var result = [Float](repeating: 0, count: width)
    for i in 0..<half {
      let angle = 2 * Float.pi * (cx * frequencies[i] + cy * frequencies[half + i])
      result[i] = sin(angle)
      result[half + i] = cos(angle)
    }
    return result
  }

  /// The features of the middles of a square grid's cells, `[side², C]`.
  func grid(side: Int) -> Tensor {
    var rows: [Float] = []
    rows.reserveCapacity(side * side * width)
    for y in 0..<side {
      for x in 0..<side {
        rows.append(contentsOf: self(x: (Float(x) + 0.5) / Float(side), y: (Float(y) + 0.5) / Float(side)))
      }
    }
    return Tensor([side * side, width], rows)
  }
}
