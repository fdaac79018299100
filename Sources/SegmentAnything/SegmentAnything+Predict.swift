import Imaging
import Masks
import Tensors

/// The masks of one prompt.
public struct Prediction: Sendable {
  /// M masks of the picture's size.
  public let masks: [BitMask]
  /// The IoU the model expects of each mask, not clamped to 0…1.
  public let iouPredictions: [Float]
  /// `[M, 4h, 4w]`, in the model's frame; one of them can be the next prompt's `maskInput`, where the model takes one.
  public let lowResLogits: Tensor
  /// The IoU of each mask's cuts at logits +1 and −1.
  public let stabilityScores: [Float]
}

extension SegmentAnything {
  /// The masks of one prompt: three for `multimask`, else the single one meant for unambiguous prompts. HQ-SAM answers
  /// with one mask in either case; for `multimask` it is made from the best of the three.
  public func predict(
    _ embedding: ImageEmbedding, _ prompt: Prompt, multimask: Bool
  ) throws(SegmentAnythingError) -> Prediction {
    try validate(prompt, index: 0, embedding)
    return predict(embedding, checked: prompt, multimask: multimask).prediction
  }

  /// The masks of many prompts on one picture, each with its own number of points. All are checked before any is run.
  ///
  /// - Returns: one prediction a prompt, in their order.
  public func predict(
    _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool
  ) throws(SegmentAnythingError) -> [Prediction] {
    for (i, prompt) in prompts.enumerated() { try validate(prompt, index: i, embedding) }
    return ComputePool.map(prompts.count) { predict(embedding, checked: prompts[$0], multimask: multimask).prediction }
  }

  /// Refuses a prompt that `predict` would refuse, without running anything.
  ///
  /// - Parameter index: which of the caller's prompts this is, for the error.
  public func validate(_ prompt: Prompt, index: Int, _ embedding: ImageEmbedding) throws(SegmentAnythingError) {
    try validate(prompt, index: index, width: embedding.width, height: embedding.height)
  }

  /// Likewise, on a picture of this size.
  func validate(_ prompt: Prompt, index: Int, width: Int, height: Int) throws(SegmentAnythingError) {
    try prompt.validate(
      index: index, width: width, height: height, maskSide: promptEncoder.masks == nil ? nil : maskSide,
      pointLimit: promptEncoder.pointLimit(withBox: prompt.box != nil))
  }

  /// - Returns: the prediction, and the sparse `[N, C]` and dense `[h, w, C]` embeddings that led to it; dense is nil for
  ///   a prompt without a mask.
  func predict(
    _ embedding: ImageEmbedding, checked prompt: Prompt, multimask: Bool
  ) -> (prediction: Prediction, sparse: Tensor, dense: Tensor?) {
    let frame = embedding.frame
    var inModel = ModelPrompt(points: prompt.points.map { frame.model($0) }, labels: prompt.pointLabels)
    if let box = prompt.box {
      let (low, high) = (frame.model(Point(x: box.x0, y: box.y0)), frame.model(Point(x: box.x1, y: box.y1)))
      inModel.box = Box(x0: low.x, y0: low.y, x1: high.x, y1: high.y)
    }
    let sparse = promptEncoder.sparse(inModel)
    let dense = prompt.maskInput.flatMap { promptEncoder.masks?.dense($0, gridSize: promptEncoder.gridSize) }
    let side = dense.map { imageSide(embedding.features, dense: $0) } ?? embedding.unmasked
    let decoded = maskDecoder.decode(side, sparse: sparse, positions: cellPositions)
    let tokens = maskDecoder.tokens(multimask: multimask, iou: decoded.iou)
    let logits = maskDecoder.masks(decoded, tokens: tokens, fine: embedding.fine)
    let upsampler = MaskUpsampler(side: maskSide, frame: frame)
    let cut = upsampler.threshold(all: logits, offset: 1)
    let prediction = Prediction(
      masks: cut.map(\.mask), iouPredictions: tokens.map { decoded.iou[$0] }, lowResLogits: logits,
      stabilityScores: cut.map(\.stability))
    return (prediction, sparse, dense)
  }
}

extension MaskUpsampler {
  /// `threshold` for each of `logits [M, side, side]`, several at once.
  func threshold(all logits: Tensor, offset: Float) -> [Cut] {
    logits.withUnsafe { all in
      guard let base = all.baseAddress else { return [] }
      return ComputePool.map(logits.shape[0]) { threshold(base + $0 * side * side, offset: offset) }
    }
  }
}
