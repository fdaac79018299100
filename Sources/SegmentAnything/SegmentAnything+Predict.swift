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
    return predict(embedding, checked: [prompt], multimask: multimask)[0].prediction
  }

  /// The masks of many prompts on one picture, each with its own number of points. All are checked before any is run.
  ///
  /// - Returns: one prediction a prompt, in their order.
  public func predict(
    _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool
  ) throws(SegmentAnythingError) -> [Prediction] {
    try grouped(embedding, prompts) { predict(embedding, checked: $0, multimask: multimask).map(\.prediction) }
  }

  /// What `predict` cuts masks out of, and nothing else: the prompt encoder and the mask decoder alone.
  ///
  /// - Returns: for each prompt its low-resolution logits, `[M, 4h, 4w]`.
  public func lowResLogits(
    _ embedding: ImageEmbedding, _ prompts: [Prompt], multimask: Bool
  ) throws(SegmentAnythingError) -> [Tensor] {
    try grouped(embedding, prompts) { group in
      let decoded = decode(embedding, checked: group).map(\.decoded)
      return ComputePool.map(decoded.count) { logits(decoded[$0], embedding, multimask: multimask).logits }
    }
  }

  /// Checks all prompts, then does something with some of them at a time.
  private func grouped<Result>(
    _ embedding: ImageEmbedding, _ prompts: [Prompt], _ body: ([Prompt]) -> [Result]
  ) throws(SegmentAnythingError) -> [Result] {
    for (i, prompt) in prompts.enumerated() { try validate(prompt, index: i, embedding) }
    return stride(from: 0, to: prompts.count, by: Self.group).flatMap { first in
      body(Array(prompts[first..<min(first + Self.group, prompts.count)]))
    }
  }

  /// How many prompts go through the decoder together: each part of the image is then read once for all of them, and all threads
  /// have work.
  static var group: Int { 4 * ComputePool.threads }

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

  /// A prediction, and the sparse `[N, C]` and dense `[h, w, C]` embeddings that led to it; dense is nil for a prompt without a mask.
  typealias Traced = (prediction: Prediction, sparse: Tensor, dense: Tensor?)

  func predict(_ embedding: ImageEmbedding, checked prompts: [Prompt], multimask: Bool) -> [Traced] {
    let decoded = decode(embedding, checked: prompts)
    let predictions = ComputePool.map(decoded.count) {
      prediction(decoded[$0].decoded, embedding, multimask: multimask)
    }
    return zip(predictions, decoded).map { ($0, $1.sparse, $1.dense) }
  }

  private func decode(
    _ embedding: ImageEmbedding, checked prompts: [Prompt]
  ) -> [(decoded: MaskDecoder.Decoded, sparse: Tensor, dense: Tensor?)] {
    let frame = embedding.frame
    let sparse = prompts.map { prompt in
      var inModel = ModelPrompt(points: prompt.points.map { frame.model($0) }, labels: prompt.pointLabels)
      if let box = prompt.box {
        let (low, high) = (frame.model(Point(x: box.x0, y: box.y0)), frame.model(Point(x: box.x1, y: box.y1)))
        inModel.box = Box(x0: low.x, y0: low.y, x1: high.x, y1: high.y)
      }
      return promptEncoder.sparse(inModel)
    }
    let dense = prompts.map { prompt in
      prompt.maskInput.flatMap { promptEncoder.masks?.dense($0, gridSize: promptEncoder.gridSize) }
    }
    // Prompts without a mask see the same image.
    var decoded = [MaskDecoder.Decoded?](repeating: nil, count: prompts.count)
    let unmasked = prompts.indices.filter { dense[$0] == nil }
    for (i, result) in zip(unmasked, decode(embedding.unmasked, unmasked.map { sparse[$0] })) { decoded[i] = result }
    for (i, dense) in dense.enumerated() {
      guard let dense else { continue }
      decoded[i] = decode(imageSide(embedding.features, dense: dense), [sparse[i]])[0]
    }
    return zip(decoded.compactMap { $0 }, zip(sparse, dense)).map { ($0, $1.0, $1.1) }
  }

  /// - Parameter sparse: the embeddings of each prompt, `[N, C]`.
  func decode(_ image: ImageSide, _ sparse: [Tensor]) -> [MaskDecoder.Decoded] {
    maskDecoder.decode(image, sparse: sparse, positions: cellPositions, positionSide)
  }

  private func logits(
    _ decoded: MaskDecoder.Decoded, _ embedding: ImageEmbedding, multimask: Bool
  ) -> (tokens: [Int], logits: Tensor) {
    let tokens = maskDecoder.tokens(multimask: multimask, iou: decoded.iou)
    return (tokens, maskDecoder.masks(decoded, tokens: tokens, fine: embedding.fine))
  }

  private func prediction(
    _ decoded: MaskDecoder.Decoded, _ embedding: ImageEmbedding, multimask: Bool
  ) -> Prediction {
    let (tokens, logits) = logits(decoded, embedding, multimask: multimask)
    let upsampler = MaskUpsampler(side: maskSide, frame: embedding.frame)
    let cut = upsampler.threshold(all: logits, offset: 1)
    return Prediction(
      masks: cut.map(\.mask), iouPredictions: tokens.map { decoded.iou[$0] }, lowResLogits: logits,
      stabilityScores: cut.map(\.stability))
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
