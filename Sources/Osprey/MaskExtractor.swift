import Checkpoints
import Layers
import Masks
import Tensors

/// How a mask fell on one level of the feature pyramid.
public struct LevelEvidence: Sendable, Equatable {
  /// `res2` … `res5`
  public let level: String
  /// How many cells of the level the mask covers; 0 means that this level saw nothing of the region.
  public let cells: Int

  public init(level: String, cells: Int) { (self.level, self.cells) = (level, cells) }
}

/// A region as the language model gets it.
public struct RegionTokens: Sendable {
  /// `[D]`, in the place of `<mask>`.
  public let mask: Tensor
  /// `[D]`, in the place of `<pos>`.
  public let position: Tensor
  public let levels: [LevelEvidence]

  public init(mask: Tensor, position: Tensor, levels: [LevelEvidence]) {
    (self.mask, self.position, self.levels) = (mask, position, levels)
  }
}

/// Osprey's mask-aware visual extractor [osprey/model/layer.py].
struct MaskExtractor: Sendable {
  /// One for each level: its width → the extractor's.
  let levels: [Linear]
  let features: Linear
  let position: MLP
  /// The side of the square that a mask is shrunk to for its position token; 112 in the original.
  let shape: Int

  /// - Parameter scope: `mask_extractor`
  init(_ scope: WeightScope, widths: [Int], outputs: Int) throws(CheckpointError) {
    features = try Linear(scope["feat_linear"], outputs: outputs)
    var levels: [Linear] = []
    for (i, width) in widths.enumerated() {
      levels.append(try Linear(scope["res\(i + 2)"], inputs: width, outputs: features.inputs))
    }
    self.levels = levels
    position = try MLP(scope["mask_linear"], outputs: outputs, depth: 3)
    let area = position.layers[0].inputs
    shape = Int(Double(area).squareRoot().rounded())
    guard shape * shape == area else {
      throw .shapeMismatch(
        key: scope.prefix + "mask_linear.layers.0.weight", expected: [position.layers[0].outputs, shape * shape],
        actual: position.layers[0].weight.shape)
    }
  }

  /// - Parameter pyramid: res2…res5, `[h, w, C]`.
  func callAsFunction(_ pyramid: [Tensor], _ mask: BitMask) -> RegionTokens {
    // The mask goes from its own size to each level directly, and every cell that it touches at all counts fully.
    var evidence: [LevelEvidence] = []
    var sum: Tensor?
    for (i, map) in pyramid.enumerated() {
      let cells = mask.resizedBilinear(height: map.shape[0], width: map.shape[1]).enumerated()
        .filter { $1 > 0 }.map(\.offset)
      evidence.append(LevelEvidence(level: "res\(i + 2)", cells: cells.count))
      let projected = levels[i](map.mean(ofCells: cells))
      sum = sum.map { $0 + projected } ?? projected
    }
    let soft = mask.resizedBilinear(height: shape, width: shape)
    return RegionTokens(
      mask: features(sum ?? Tensor([features.inputs])).reshaped([-1]),
      position: position(Tensor([1, shape * shape], soft)).reshaped([-1]), levels: evidence)
  }
}

extension BitMask {
  /// The mask as numbers 0…1 at another size: torch's bilinear without antialias, so that what falls between the taps of
  /// a much smaller size is lost. Row-major `[height, width]`.
  func resizedBilinear(height newHeight: Int, width newWidth: Int) -> [Float] {
    let rows = BilinearTaps(from: height, to: newHeight)
    let columns = BilinearTaps(from: width, to: newWidth)
    var result: [Float] = []
    result.reserveCapacity(newHeight * newWidth)
    for y in 0..<newHeight {
      let (top, bottom, fy) = (rows.low[y] * width, rows.high[y] * width, rows.fraction[y])
      for x in 0..<newWidth {
        let (left, right, fx) = (columns.low[x], columns.high[x], columns.fraction[x])
        let above = (1 - fx) * Float(bits[top + left]) + fx * Float(bits[top + right])
        let below = (1 - fx) * Float(bits[bottom + left]) + fx * Float(bits[bottom + right])
        result.append((1 - fy) * above + fy * below)
      }
    }
    return result
  }
}

extension Tensor {
  /// The mean of some cells of a map, `[1, C]`; zeros if there are none (the reference divides by count + 1e-8).
  func mean(ofCells cells: [Int]) -> Tensor {
    let channels = shape[2]
    let weight = 1 / (Float(cells.count) + 1e-8)
    return withUnsafe { source in
      Tensor([1, channels]) { out in
        out.initialize(repeating: 0)
        for cell in cells {
          for c in 0..<channels { out[c] += source[cell * channels + c] }
        }
        for c in 0..<channels { out[c] *= weight }
      }
    }
  }
}
