import Checkpoints
import Layers
import Tensors

/// Two transposed convolutions, each of which doubles the grid, with a LayerNorm and a GELU between them. Source:
/// `mask_decoder.py`, `self.output_upscaling` without its last GELU; `mask_decoder_hq.py` has three of the kind.
/// EfficientSAM's has a GroupNorm instead: `efficient_sam_decoder.py`, `self.final_output_upscaling_layers`.
struct Upscaling: Sendable {
  let first: ConvTranspose2d
  let norm: Norm
  let second: ConvTranspose2d

  var outputs: Int { second.outputs }

  /// Over the channels of each cell, or over the whole map.
  enum Norm: Sendable {
    case channels(LayerNorm)
    case map(GroupNorm)
  }

  /// SAM's: `0`, `1`, `3`.
  init(_ scope: WeightScope, inputs: Int, outputs: Int = -1) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0], inputs: inputs)
    norm = .channels(try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6))
    second = try ConvTranspose2d(scope[3], inputs: first.outputs, outputs: outputs)
  }

  /// EfficientSAM's: `0.0`, `0.1`, `1.0`.
  init(efficient scope: WeightScope, inputs: Int) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0][0], inputs: inputs)
    norm = .map(try GroupNorm(scope[0][1], channels: first.outputs))
    second = try ConvTranspose2d(scope[1][0], inputs: first.outputs)
  }

  /// `[h, w, in]` → `[4h, 4w, out]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    var x = first(x)
    switch norm {
    case .channels(let norm): x = norm(x)
    case .map(let norm): x = norm(x)
    }
    x.gelu()
    return second(x)
  }
}

/// `Upscaling` followed by a GELU and the product with masks' filters, some cells at a time, so that no upscaled map is ever
/// stored. A LayerNorm of channels allows that, and so do convolutions whose outputs do not overlap.
struct BlockUpscaling: Sendable {
  private let norm: LayerNorm
  private let first: PackedMatrix
  /// `[4·C₁]`
  private let firstBias: Tensor
  /// `[4·out, C₁]`
  private let second: Tensor
  /// `[out]`
  private let secondBias: [Float]
  private let outputs: Int

  /// Nil for a norm over the whole map.
  init?(_ upscaling: Upscaling) {
    guard case .channels(let norm) = upscaling.norm else { return nil }
    self.norm = norm
    first = PackedMatrix(upscaling.first.weight, .fp32)
    let bias = upscaling.first.bias
    firstBias = Tensor.concatenated([bias, bias, bias, bias])
    second = upscaling.second.weight.transposed()
    secondBias = upscaling.second.bias.values
    outputs = upscaling.outputs
  }

  /// - Parameters:
  ///   - cells: `[N, C]`.
  ///   - filters: `[M, out]`.
  /// - Returns: four of `[M, 4·N]`, one for each of a pixel's finer pixels; in a row the cells' four pixels in turn.
  func logits(_ cells: Tensor, filters: Tensor) -> [Tensor] {
    let count = 4 * cells.shape[0]
    var pixels = norm(cells.multiplied(by: first, bias: firstBias).reshaped([count, -1]))
    pixels.gelu()
    // Channels in rows: the product with the filters then runs along pixels.
    var fine = Tensor([4 * outputs, count]) { all in
      for row in 0..<4 * outputs {
        all[row * count..<(row + 1) * count].initialize(repeating: secondBias[row % outputs])
      }
    }
    fine.add(second, multipliedBy: PackedMatrix(transposing: pixels, .fp32), bias: nil)
    fine.gelu()
    return (0..<4).map { filters.multiplied(by: fine.rows($0 * outputs..<($0 + 1) * outputs)) }
  }
}
