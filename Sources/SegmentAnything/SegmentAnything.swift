import Checkpoints
import Imaging
import Masks
import Tensors

/// The Segment Anything Model: an image encoder, a prompt encoder and a mask decoder.
///
/// Source: `facebookresearch/segment-anything`, `modeling/sam.py` and `predictor.py`; "Segment Anything" (Kirillov et
/// al., 2023). EfficientSAM, read and run by the same type, is `yformer/EfficientSAM`. Legend: S the side of the square input, h = w the side of the image embedding, C its channels, L = h·w.
public final class SegmentAnything: Sendable {
  /// S
  public let imageSize: Int
  /// 4h, the side of low-resolution logits and of `mask_input`.
  public var maskSide: Int { 4 * imageEncoder.gridSize }
  /// `vit`, `tiny_vit` or `efficient_sam`, as recognised; with `_hq` where the mask decoder is HQ-SAM's.
  public let architecture: String

  package let imageEncoder: any ImageEncoder
  package let promptEncoder: PromptEncoder
  let maskDecoder: MaskDecoder
  /// Of the image embedding's cells, `[L, C]`.
  let cellPositions: Tensor
  let positionSide: PositionSide
  let pixelMean: [Float]
  let pixelStd: [Float]

  /// Reads a model; its architecture is told by the tensors' names and shapes.
  ///
  /// - Parameters:
  ///   - checkpoint: official names, on their own or under `module.`, `model.` or `sam.`.
  ///   - imageSize: a hint where no tensor tells it (TinyViT, EfficientSAM; 1024 unless given), a multiple of 16.
  ///   - pixelMean, pixelStd: of red, green and blue in 0…255; SAM's own unless given.
  ///   - precision: of the image encoder's products; the decoder's are always fp32.
  public init(
    _ checkpoint: any Checkpoint, imageSize: Int? = nil, pixelMean: [Float]? = nil, pixelStd: [Float]? = nil,
    precision: Precision = .fp32
  ) throws(SegmentAnythingError) {
    let mean = pixelMean ?? [123.675, 116.28, 103.53]
    let std = pixelStd ?? [58.395, 57.12, 57.375]
    guard mean.count == 3, mean.allSatisfy(\.isFinite) else {
      throw .badSetting(name: "pixel_mean", reason: "\(mean) is not three finite numbers")
    }
    guard std.count == 3, std.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw .badSetting(name: "pixel_std", reason: "\(std) is not three positive numbers")
    }
    let hint = imageSize ?? 1024
    guard hint > 0, hint % 16 == 0, hint <= EncoderLimits.imageSize else {
      throw .badSetting(
        name: "image_size", reason: "\(hint) is not a multiple of 16 of at most \(EncoderLimits.imageSize)")
    }
    let strict = StrictCheckpoint(checkpoint)
    do throws(CheckpointError) {
      let scope = try Self.root(of: strict)
      let width = try PromptEncoder.width(scope["prompt_encoder"])
      let (encoder, name) = try Self.imageEncoder(
        scope["image_encoder"].computing(in: precision), imageSize: hint, outputs: width)
      imageEncoder = encoder
      promptEncoder = try PromptEncoder(
        scope["prompt_encoder"], imageSize: imageEncoder.imageSize, gridSize: imageEncoder.gridSize)
      maskDecoder = try MaskDecoder(
        scope["mask_decoder"], width: width, gridSize: imageEncoder.gridSize,
        earlyWidth: (encoder as? any StagedImageEncoder)?.earlyWidth)
      architecture = maskDecoder.highQuality == nil ? name : name + "_hq"
      // The official loader of HQ-SAM takes what it needs and passes over the rest; the others do not.
      let isTolerant = maskDecoder.highQuality != nil
      try strict.finish(under: scope.prefix, ignoring: { isTolerant || Self.isNeverRead($0) })
    } catch {
      throw .checkpoint(strict.explained(error))
    }
    self.imageSize = imageEncoder.imageSize
    cellPositions = promptEncoder.gridPositions()
    positionSide = maskDecoder.transformer.positionSide(cellPositions)
    (self.pixelMean, self.pixelStd) = (mean, std)
  }

  /// Where the official names begin. A tensor with a side of length 0 makes no model and is refused here, for all.
  private static func root(of checkpoint: any Checkpoint) throws(CheckpointError) -> WeightScope {
    let landmark = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    let prefix = ["", "module.", "model.", "sam."].first { checkpoint.shape(of: $0 + landmark) != nil } ?? ""
    for key in checkpoint.keys where key.hasPrefix(prefix) {
      if let shape = checkpoint.shape(of: key), shape.contains(0) {
        throw .malformed(path: checkpoint.path, reason: "tensor '\(key)' has shape \(shape)")
      }
    }
    return WeightScope(checkpoint, prefix: prefix)
  }

  /// What official files hold that no part of the model needs: buffers that are made anew, counters of training, and
  /// TinyViT's classifier.
  private static func isNeverRead(_ name: String) -> Bool {
    if name.hasPrefix("image_encoder.head.") || name.hasPrefix("image_encoder.norm_head.") { return true }
    let last = name.split(separator: ".").last ?? ""
    return ["pixel_mean", "pixel_std", "num_batches_tracked", "attention_bias_idxs"].contains(last)
  }

  private static func imageEncoder(
    _ scope: WeightScope, imageSize: Int, outputs: Int
  ) throws(CheckpointError) -> (any ImageEncoder, String) {
    if scope["patch_embed"]["seq"][0]["c"].has("weight") {
      return (try TinyViT(scope, imageSize: imageSize, outputs: outputs), "tiny_vit")
    }
    if PlainViT.recognises(scope) {
      return (try PlainViT(scope, imageSize: imageSize, outputs: outputs), "efficient_sam")
    }
    if scope["patch_embed"]["proj"].has("weight") || scope.has("pos_embed") {
      return (try ImageEncoderViT(scope, outputs: outputs), "vit")
    }
    throw .unrecognised(
      path: scope.checkpoint.path,
      reason: "it has neither '\(scope.prefix)patch_embed.proj.weight' (SAM's and EfficientSAM's ViT) nor "
        + "'\(scope.prefix)patch_embed.seq.0.c.weight' (MobileSAM's TinyViT)")
  }

  /// Looks at a picture, once for all prompts on it.
  public func embed(_ image: Image) -> ImageEmbedding { embed(input(of: image), frame(of: image)) }

  /// What the image encoder gets of a picture, `[S, S, 3]`.
  public func input(of image: Image) -> Tensor { frame(of: image).input(image, mean: pixelMean, std: pixelStd) }

  /// The image encoder alone: `[S, S, 3]` → `[g, g, C]`.
  public func encode(_ input: Tensor) -> Tensor { imageEncoder(input) }

  /// - Parameter input: the picture as `frame` lays it, `[S, S, 3]`.
  func embed(_ input: Tensor, _ frame: ImageFrame) -> ImageEmbedding {
    guard let head = maskDecoder.highQuality, let encoder = imageEncoder as? any StagedImageEncoder else {
      let features = imageEncoder(input)
      return ImageEmbedding(frame: frame, features: features, unmasked: imageSide(features, dense: nil))
    }
    let early = encoder.early(input)
    let features = encoder.late(early)
    return ImageEmbedding(
      frame: frame, features: features, unmasked: imageSide(features, dense: nil),
      fine: head.features(embedding: features, early: early))
  }

  /// How a picture lies in the model's input.
  func frame(of image: Image) -> ImageFrame {
    ImageFrame(
      imageSize: imageSize, fit: imageEncoder.fit, sourceWidth: image.width, sourceHeight: image.height)
  }

  /// The decoder's view of an image under a dense prompt, `[h, w, C]`, or under none.
  func imageSide(_ features: Tensor, dense: Tensor?) -> ImageSide {
    var cells = features.reshaped([-1, promptEncoder.width])
    if let dense {
      cells.add(dense.reshaped(cells.shape))
    } else if let masks = promptEncoder.masks {
      cells.addRow(masks.noMask)
    }
    return maskDecoder.imageSide(cells: cells, positions: cellPositions)
  }
}

/// What a model saw in a picture: all that prompts on it need.
public struct ImageEmbedding: Sendable {
  package let frame: ImageFrame
  /// `[h, w, C]`
  package let features: Tensor
  /// For prompts without a mask.
  let unmasked: ImageSide
  /// For HQ-SAM's masks, `[4h, 4w, C/8]`.
  var fine: Tensor?

  /// The picture's size in source pixels.
  public var width: Int { frame.sourceWidth }
  public var height: Int { frame.sourceHeight }
  /// The memory that this holds, in bytes.
  public var byteCount: Int {
    4 * (features.count + unmasked.count + (fine?.count ?? 0))
  }
}
