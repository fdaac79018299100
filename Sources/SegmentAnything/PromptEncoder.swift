import Checkpoints
import Foundation
import Layers
import Masks
import Tensors

/// Turns points, boxes and masks into embeddings. Source: `prompt_encoder.py`, `PromptEncoder`.
package struct PromptEncoder: Sendable {
  /// `pe_layer.positional_encoding_gaussian_matrix` `[2, C/2]`, the frequencies of x and of y.
  let frequencies: [Float]
  /// `point_embeddings.0`…`3`: a background click, a click, a box's first and second corner. Each `[C]`.
  let pointEmbeddings: [[Float]]
  /// `not_a_point_embed` `[C]`
  let notAPoint: [Float]
  /// `no_mask_embed` `[C]`
  let noMask: Tensor
  let maskDownscaling: MaskDownscaling
  /// C
  let width: Int
  /// The side of the model's input, S, and of its grid, h.
  let imageSize: Int
  let gridSize: Int

  /// C as the checkpoint has it, which the image encoder must give.
  static func width(_ scope: WeightScope) throws(CheckpointError) -> Int {
    let width = try scope["no_mask_embed"].tensor("weight", [1, -1]).shape[1]
    guard width > 0, width % 2 == 0 else {
      throw scope["no_mask_embed"].malformed("weight", "has width \(width), which is not a positive even number")
    }
    return width
  }

  init(_ scope: WeightScope, imageSize: Int, gridSize: Int) throws(CheckpointError) {
    width = try Self.width(scope)
    (self.imageSize, self.gridSize) = (imageSize, gridSize)
    frequencies = try scope["pe_layer"].tensor("positional_encoding_gaussian_matrix", [2, width / 2]).values
    var points: [[Float]] = []
    for i in 0..<4 { points.append(try scope["point_embeddings"][i].tensor("weight", [1, width]).values) }
    pointEmbeddings = points
    notAPoint = try scope["not_a_point_embed"].tensor("weight", [1, width]).values
    noMask = try scope["no_mask_embed"].tensor("weight", [1, width]).reshaped([width])
    maskDownscaling = try MaskDownscaling(scope["mask_downscaling"], width: width)
  }

  /// The embeddings of a prompt's points and box: points, then the padding point if there are points and no box, then
  /// the box's corners.
  ///
  /// - Returns: `[N, C]`; none for a prompt that is only a mask.
  func sparse(_ prompt: ModelPrompt) -> Tensor {
    var rows: [Float] = []
    var count = 0
    func append(_ point: Point<ModelFrame>, _ embedding: [Float]) {
      // Half a pixel on, to the middle of the pixel that was pointed at.
      let position = position(x: (point.x + 0.5) / Float(imageSize), y: (point.y + 0.5) / Float(imageSize))
      rows.append(contentsOf: zip(position, embedding).map { $0 + $1 })
      count += 1
    }
    for (point, label) in zip(prompt.points, prompt.labels) { append(point, pointEmbeddings[label]) }
    if let box = prompt.box {
      append(Point(x: box.x0, y: box.y0), pointEmbeddings[2])
      append(Point(x: box.x1, y: box.y1), pointEmbeddings[3])
    } else if !prompt.points.isEmpty {
      rows.append(contentsOf: notAPoint)
      count += 1
    }
    return Tensor([count, width], rows)
  }

  /// The embedding of a mask: logits `[4h, 4w]` in the padded frame → `[h, w, C]`.
  func dense(_ mask: [Float]) -> Tensor {
    maskDownscaling(Tensor([4 * gridSize, 4 * gridSize, 1], mask))
  }

  /// The positions of the image embedding's own cells, `[h·w, C]`.
  func gridPositions() -> Tensor {
    var rows: [Float] = []
    rows.reserveCapacity(gridSize * gridSize * width)
    for y in 0..<gridSize {
      for x in 0..<gridSize {
        rows.append(
          contentsOf: position(x: (Float(x) + 0.5) / Float(gridSize), y: (Float(y) + 0.5) / Float(gridSize)))
      }
    }
    return Tensor([gridSize * gridSize, width], rows)
  }

  /// Random Fourier features of a position in [0, 1]²: sines, then cosines. Source: `PositionEmbeddingRandom`.
  private func position(x: Float, y: Float) -> [Float] {
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
}

/// A prompt in the model's frame, as the encoder takes it.
struct ModelPrompt: Sendable {
  var points: [Point<ModelFrame>] = []
  var labels: [Int] = []
  var box: Box<ModelFrame>?
}

/// Two strided convolutions and a projection. Source: `prompt_encoder.py`, `self.mask_downscaling`.
struct MaskDownscaling: Sendable {
  let first: Conv2d
  let norm1: LayerNorm
  let second: Conv2d
  let norm2: LayerNorm
  let project: Conv2d

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    first = try Conv2d(scope[0], inputs: 1, kernel: 2, stride: 2)
    norm1 = try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6)
    second = try Conv2d(scope[3], inputs: first.outputs, kernel: 2, stride: 2)
    norm2 = try LayerNorm(scope[4], channels: second.outputs, epsilon: 1e-6)
    project = try Conv2d(scope[6], inputs: second.outputs, outputs: width, kernel: 1)
  }

  /// `[4h, 4w, 1]` → `[h, w, C]`.
  func callAsFunction(_ mask: Tensor) -> Tensor {
    var x = norm1(first(mask))
    x.gelu()
    x = norm2(second(x))
    x.gelu()
    return project(x)
  }
}
