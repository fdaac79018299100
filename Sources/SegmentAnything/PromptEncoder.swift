import Checkpoints
import Layers
import Masks
import Tensors

/// Turns points, boxes and masks into embeddings. Source: `prompt_encoder.py`, `PromptEncoder`; for EfficientSAM, which
/// takes no masks, `efficient_sam_decoder.py`, `PromptEncoder`.
package struct PromptEncoder: Sendable {
  /// `pe_layer`
  let position: PositionEmbeddingRandom
  let labels: PointLabels
  /// Nil where the model takes no masks.
  let masks: MaskPrompt?
  /// C
  let width: Int
  /// The side of the model's input, S, and of its grid, h.
  let imageSize: Int
  let gridSize: Int

  /// C as the checkpoint has it, which the image encoder must give.
  static func width(_ scope: WeightScope) throws(CheckpointError) -> Int {
    let row = scope[PointLabels.areEfficient(scope) ? "invalid_points" : "no_mask_embed"]
    let width = try row.tensor("weight", [1, -1]).shape[1]
    guard width > 0, width % 2 == 0 else {
      throw row.malformed("weight", "has width \(width), which is not a positive even number")
    }
    return width
  }

  init(_ scope: WeightScope, imageSize: Int, gridSize: Int) throws(CheckpointError) {
    width = try Self.width(scope)
    (self.imageSize, self.gridSize) = (imageSize, gridSize)
    position = try PositionEmbeddingRandom(scope["pe_layer"], width: width)
    if PointLabels.areEfficient(scope) {
      let nowhere = (-1 + 0.5) / Float(imageSize)
      labels = try PointLabels(efficient: scope, width: width, nowhere: position(x: nowhere, y: nowhere))
      masks = nil
    } else {
      labels = try PointLabels(scope, width: width)
      masks = try MaskPrompt(scope, width: width)
    }
  }

  /// The most points that a prompt may have, beside its box if it has one.
  func pointLimit(withBox: Bool) -> Int {
    switch labels.padding {
    case .one: promptPointLimit
    case .upTo(let count, _): withBox ? count - 2 : count
    }
  }

  /// The embeddings of a prompt's points and box: points, the box's corners, then padding as the model wants it.
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
    for (point, label) in zip(prompt.points, prompt.labels) { append(point, labels.embeddings[label]) }
    if let box = prompt.box {
      append(Point(x: box.x0, y: box.y0), labels.embeddings[2])
      append(Point(x: box.x1, y: box.y1), labels.embeddings[3])
    }
    switch labels.padding {
    case .one(let row):
      if prompt.box == nil, !prompt.points.isEmpty {
        rows.append(contentsOf: row)
        count += 1
      }
    case .upTo(let full, let row):
      while count < full {
        rows.append(contentsOf: row)
        count += 1
      }
    }
    return Tensor([count, width], rows)
  }

  /// The positions of the image embedding's own cells, `[h·w, C]`.
  func gridPositions() -> Tensor { position.grid(side: gridSize) }
}

/// What is added to a point's position to say what it is, and the rows that stand for no point.
struct PointLabels: Sendable {
  /// A background click, a click, a box's first and second corner. Each `[C]`.
  let embeddings: [[Float]]
  let padding: Padding

  enum Padding: Sendable {
    /// One row `[C]` after points without a box.
    case one([Float])
    /// As many rows `[C]` as are lacking to a fixed count.
    case upTo(Int, [Float])
  }

  /// SAM's `point_embeddings.0`…`3` and `not_a_point_embed`.
  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    var embeddings: [[Float]] = []
    for i in 0..<4 { embeddings.append(try scope["point_embeddings"][i].tensor("weight", [1, width]).values) }
    self.embeddings = embeddings
    padding = .one(try scope["not_a_point_embed"].tensor("weight", [1, width]).values)
  }

  /// EfficientSAM's `decoder_max_num_input_points`, which no tensor tells.
  static let efficientCount = 6

  /// Whether a checkpoint's points are EfficientSAM's.
  static func areEfficient(_ scope: WeightScope) -> Bool {
    scope["invalid_points"].has("weight") || scope["bbox_top_left_embeddings"].has("weight")
  }

  /// EfficientSAM's embeddings. A background click has none, only its position; the decoder always gets six rows, those
  /// that no point fills with the position (−1, −1).
  ///
  /// - Parameter nowhere: the features of that position, `[C]`.
  init(efficient scope: WeightScope, width: Int, nowhere: [Float]) throws(CheckpointError) {
    embeddings = [
      [Float](repeating: 0, count: width),
      try scope["point_embeddings"].tensor("weight", [1, width]).values,
      try scope["bbox_top_left_embeddings"].tensor("weight", [1, width]).values,
      try scope["bbox_bottom_right_embeddings"].tensor("weight", [1, width]).values,
    ]
    let invalid = try scope["invalid_points"].tensor("weight", [1, width]).values
    padding = .upTo(Self.efficientCount, zip(nowhere, invalid).map { $0 + $1 })
  }
}

/// A prompt in the model's frame, as the encoder takes it.
struct ModelPrompt: Sendable {
  var points: [Point<ModelFrame>] = []
  var labels: [Int] = []
  var box: Box<ModelFrame>?
}

/// What is added to the image embedding for an earlier mask, or for none. Source: `prompt_encoder.py`, `no_mask_embed` and
/// `mask_downscaling`: two strided convolutions and a projection.
struct MaskPrompt: Sendable {
  /// `no_mask_embed` `[C]`
  let noMask: Tensor
  let first: Conv2d
  let norm1: LayerNorm
  let second: Conv2d
  let norm2: LayerNorm
  let project: Conv2d

  /// - Parameter scope: of the whole prompt encoder.
  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    noMask = try scope["no_mask_embed"].tensor("weight", [1, width]).reshaped([width])
    let scope = scope["mask_downscaling"]
    first = try Conv2d(scope[0], inputs: 1, kernel: 2, stride: 2)
    norm1 = try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6)
    second = try Conv2d(scope[3], inputs: first.outputs, kernel: 2, stride: 2)
    norm2 = try LayerNorm(scope[4], channels: second.outputs, epsilon: 1e-6)
    project = try Conv2d(scope[6], inputs: second.outputs, outputs: width, kernel: 1)
  }

  /// The embedding of a mask: logits `[4h·4w]` in the padded frame → `[h, w, C]`.
  func dense(_ mask: [Float], gridSize: Int) -> Tensor {
    var x = norm1(first(Tensor([4 * gridSize, 4 * gridSize, 1], mask)))
    x.gelu()
    x = norm2(second(x))
    x.gelu()
    return project(x)
  }
}
