import Tensors

/// A picture as the vision trunk sees it.
public struct ImageFeatures: Sendable {
  public let width: Int
  public let height: Int
  /// The trunk's input, `[S, S, 3]`.
  let input: Tensor
  /// res2…res5, `[S/4, S/4, C]` and down to `[S/32, S/32, C]`.
  let pyramid: [Tensor]
  /// What the language model gets, `[T, D]`, T = (S/16)².
  public let imageTokens: Tensor

  init(width: Int, height: Int, input: Tensor, pyramid: [Tensor], imageTokens: Tensor) {
    (self.width, self.height, self.input) = (width, height, input)
    (self.pyramid, self.imageTokens) = (pyramid, imageTokens)
  }

  /// What was seen elsewhere: enough for the language model, with regions that were looked at elsewhere too.
  public init(width: Int, height: Int, imageTokens: Tensor) {
    self.init(width: width, height: height, input: Tensor([0]), pyramid: [], imageTokens: imageTokens)
  }

  /// The memory held, in bytes.
  public var byteCount: Int { 4 * (input.count + imageTokens.count + pyramid.reduce(0) { $0 + $1.count }) }
}

/// A picture with the part of every prompt that it fixes already run through the language model. Costs memory (see
/// `byteCount`); answers any number of questions, from any thread.
public final class OspreyImage: Sendable {
  public let features: ImageFeatures
  /// Keys and values of `<s>`, the system's sentence, the picture and `overview`.
  let prefix: KeyValueCache
  /// How many positions end with the picture.
  let imageEnd: Int
  /// The tokens behind the picture that `prefix` holds too; a question that begins otherwise reads less of it.
  let overview: [Int]

  init(features: ImageFeatures, prefix: KeyValueCache, imageEnd: Int, overview: [Int]) {
    (self.features, self.prefix, self.imageEnd, self.overview) = (features, prefix, imageEnd, overview)
  }

  public var width: Int { features.width }
  public var height: Int { features.height }

  /// How its keys and values are kept.
  public var cacheFormat: CacheFormat { prefix.format }
  /// How many positions every question about it reads from there.
  public var positions: Int { prefix.count }

  /// The memory held, in bytes.
  public var byteCount: Int { prefix.byteCount + features.byteCount }
}
