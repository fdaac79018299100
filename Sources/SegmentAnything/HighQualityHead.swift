import Checkpoints
import Layers
import Tensors

/// What HQ-SAM adds to the mask decoder: a token of its own, whose mask is drawn on finer features and then added to
/// SAM's. Source: `SysCV/sam-hq`, `modeling/mask_decoder_hq.py`, `MaskDecoderHQ`; "Segment Anything in High Quality" (Ke
/// et al., 2023), section 3.2. Legend: E the channels of the image encoder's early features.
struct HighQualityHead: Sendable {
  /// `hf_token` `[1, C]`
  let token: Tensor
  /// `hf_mlp`
  let hypernetwork: MLP
  /// `embedding_encoder`, of the image embedding, and `compress_vit_feat`, of the early features.
  let fromEmbedding: Upscaling
  let fromEarly: Upscaling
  /// `embedding_maskfeature.0`, `.1`
  let widen: Conv2d
  let norm: LayerNorm
  /// `embedding_maskfeature.3`, a 3×3 convolution: `[3·3·in, C/8]` and `[1, C/8]`.
  let narrow: Tensor
  let narrowBias: Tensor

  /// Whether a mask decoder is HQ-SAM's: `hf_token` and `hf_mlp` are in no other.
  static func isPart(of decoder: WeightScope) -> Bool {
    decoder.checkpoint.keys.contains { $0.hasPrefix(decoder.prefix + "hf_") }
  }

  /// - Parameters:
  ///   - decoder: the mask decoder's scope.
  ///   - channels: of the decoder's upscaled embedding, C/8.
  ///   - earlyWidth: E.
  init(_ decoder: WeightScope, width: Int, channels: Int, earlyWidth: Int) throws(CheckpointError) {
    token = try decoder["hf_token"].tensor("weight", [1, width])
    let mlp = decoder["hf_mlp"]
    hypernetwork = try MLP(mlp, inputs: width, outputs: channels, depth: mlp["layers"].listCount())
    fromEmbedding = try Upscaling(decoder["embedding_encoder"], inputs: width, outputs: channels)
    fromEarly = try Upscaling(decoder["compress_vit_feat"], inputs: earlyWidth, outputs: channels)
    let mixing = decoder["embedding_maskfeature"]
    widen = try Conv2d(mixing[0], inputs: channels, kernel: 3, padding: 1)
    norm = try LayerNorm(mixing[1], channels: widen.outputs, epsilon: 1e-6)
    narrow = try mixing[3].tensor("weight", [channels, widen.outputs, 3, 3]).permuted([2, 3, 1, 0])
      .reshaped([9 * widen.outputs, channels])
    narrowBias = try mixing[3].tensor("bias", [channels]).reshaped([1, channels])
  }

  /// The fine features of a picture, the same for all prompts.
  ///
  /// - Parameters:
  ///   - embedding: `[h, w, C]`.
  ///   - early: `[h, w, E]`.
  /// - Returns: `[4h, 4w, C/8]`.
  func features(embedding: Tensor, early: Tensor) -> Tensor { fromEmbedding(embedding) + fromEarly(early) }

  /// What is added to SAM's logits.
  ///
  /// The official code convolves to C/8 channels, adds `features` and takes the product with the hypernetwork's filter.
  /// Here the filter goes into the convolution first, which is the same by associativity and leaves one channel to make.
  ///
  /// - Parameters:
  ///   - upscaled: the decoder's upscaled embedding `[4h, 4w, C/8]`.
  ///   - features: of the picture, `[4h, 4w, C/8]`.
  ///   - token: what the transformer made of `token`, `[1, C]`.
  /// - Returns: `[1, 4h·4w]`.
  func logits(upscaled: Tensor, features: Tensor, token: Tensor) -> Tensor {
    let (height, width) = (upscaled.shape[0], upscaled.shape[1])
    let filter = hypernetwork(token)  // [1, C/8]
    var mixed = norm(widen(upscaled))
    mixed.gelu()
    let taps = filter.linear(narrow).reshaped([9, widen.outputs])
    let planes = taps.linear(mixed.reshaped([height * width, widen.outputs]))  // [9, 4h·4w]
    let moved = planes.neighbourSum(height: height, width: width, bias: filter.linear(narrowBias).values[0])
    return moved + filter.linear(features.reshaped([height * width, -1]))
  }
}

extension Tensor {
  /// Sums nine maps, each moved by the step to one neighbour: the last step of a 3×3 convolution with zero padding.
  ///
  /// `self` is `[9, H·W]`, the products of every cell with each tap of the kernel, row by row.
  ///
  /// - Returns: `[1, H·W]`.
  fileprivate func neighbourSum(height: Int, width: Int, bias: Float) -> Tensor {
    precondition(shape == [9, height * width])
    return withUnsafe { planes in
      Tensor([1, height * width]) { sums in
        sums.initialize(repeating: bias)
        guard let planes = planes.baseAddress, let sums = sums.baseAddress else { return }
        for (dy, dx) in (-1...1).flatMap({ dy in (-1...1).map { (dy, $0) } }) {
          let plane = planes + ((dy + 1) * 3 + dx + 1) * height * width
          for y in max(0, -dy)..<min(height, height - dy) {
            let (from, to) = (plane + (y + dy) * width + dx, sums + y * width)
            for x in max(0, -dx)..<min(width, width - dx) { to[x] += from[x] }
          }
        }
      }
    }
  }
}
