import Checkpoints
import Imaging
import Masks
import Tensors

extension SegmentAnything {
  /// Every stage's tensors for one prompt, channels first, under the names that `pandion trace` writes:
  /// `sam.input` `[3, S, S]`, `sam.image_embedding` `[C, h, w]`, `sam.sparse_embeddings` `[N, C]`,
  /// `sam.dense_embeddings` `[C, h, w]`, `sam.low_res_logits` `[M, 4h, 4w]`, `sam.iou_predictions` `[M]`, `sam.masks`
  /// bytes `[M, H, W]`; from HQ-SAM also `sam.hq_features` `[C/8, 4h, 4w]`.
  public func trace(
    _ image: Image, _ prompt: Prompt, multimask: Bool
  ) throws(SegmentAnythingError) -> [(name: String, array: NamedArray)] {
    try validate(prompt, index: 0, width: image.width, height: image.height)
    let frame = frame(of: image)
    let input = frame.input(image, mean: pixelMean, std: pixelStd)
    let embedding = embed(input, frame)
    let features = embedding.features
    let (prediction, sparse, dense) = predict(embedding, checked: [prompt], multimask: multimask)[0]
    var unmasked = Tensor(features.shape)
    // Zeros where the model takes no masks: nothing is added to its image embedding.
    if let masks = promptEncoder.masks { unmasked.addRow(masks.noMask) }
    let fine = embedding.fine.map { [("sam.hq_features", NamedArray.float32($0.channelsFirst()))] } ?? []
    return [
      ("sam.input", .float32(input.channelsFirst())),
      ("sam.image_embedding", .float32(features.channelsFirst())),
      ("sam.sparse_embeddings", .float32(sparse)),
      ("sam.dense_embeddings", .float32((dense ?? unmasked).channelsFirst())),
      ("sam.low_res_logits", .float32(prediction.lowResLogits)),
      (
        "sam.iou_predictions",
        .float32(Tensor([prediction.iouPredictions.count], prediction.iouPredictions))
      ),
      (
        "sam.masks",
        .uint8(
          shape: [prediction.masks.count, image.height, image.width], prediction.masks.flatMap(\.bits))
      ),
    ] + fine
  }
}
