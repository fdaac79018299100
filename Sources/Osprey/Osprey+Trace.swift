import Checkpoints
import Imaging
import Masks
import Tensors

extension Osprey {
  /// Every stage's tensors for one question, channels first, under the names of the design's second section.
  public func trace(
    _ image: Image, masks: [BitMask], question: Question, maxTokens: Int
  ) throws(OspreyError) -> [(name: String, array: NamedArray)] {
    guard (1...Self.maxTokensLimit).contains(maxTokens) else {
      throw .maxTokens(maxTokens, limit: Self.maxTokensLimit)
    }
    let seen = try see(image)
    let features = seen.features
    var arrays: [(name: String, array: NamedArray)] = [("osprey.input", .float32(features.input.channelsFirst()))]
    for (i, map) in features.pyramid.enumerated() {
      arrays.append(("osprey.res\(i + 2)", .float32(map.channelsFirst())))
    }
    arrays.append(("osprey.image_tokens", .float32(features.imageTokens)))

    let request = Request(masks: masks, question: question)
    let prompt = try prompt(seen, request)
    func rows(_ vectors: [Tensor]) -> NamedArray {
      .float32(
        vectors.isEmpty
          ? Tensor([0, configuration.hiddenSize]) : .concatenated(vectors.map { $0.reshaped([1, -1]) }))
    }
    arrays.append(("osprey.mask_tokens", rows(prompt.regions.map(\.mask))))
    arrays.append(("osprey.position_tokens", rows(prompt.regions.map(\.position))))

    let slots = PromptTemplate.suffix(try question.turns(masks: masks.count), tokenizer)
    let whole = Tensor.concatenated([
      llama.embed(PromptTemplate.prefix(tokenizer)), features.imageTokens, splice(slots[...], prompt.regions),
    ])
    arrays.append(("osprey.prompt_embeddings", .float32(whole)))
    let generation = try generate(seen, [prompt], maxTokens: maxTokens)[0]
    if let logits = generation.firstLogits { arrays.append(("osprey.first_logits", .float32(logits))) }
    arrays.append(("osprey.generated", .int32(generation.ids.map { Int32(clamping: $0) })))
    return arrays
  }
}
