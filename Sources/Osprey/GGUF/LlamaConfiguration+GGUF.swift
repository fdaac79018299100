import Checkpoints
import Tensors

/// The hyperparameters as llama.cpp's files have them, under `llama.…`, and Osprey's own under `osprey.…`. Source:
/// llama.cpp's llama-arch.cpp and conversion of LLaMA.
extension LlamaConfiguration {
  static let architecture = "llama"

  init(_ file: GGUFFile) throws(OspreyError) {
    let path = file.path
    func read<T>(_ body: () throws(CheckpointError) -> T?) throws(OspreyError) -> T? { try reading(body) }
    func integer(_ key: String, in range: ClosedRange<Int>) throws(OspreyError) -> Int? {
      try read { () throws(CheckpointError) in try file.integer(key, in: range) }
    }
    func required(_ key: String, in range: ClosedRange<Int>) throws(OspreyError) -> Int {
      guard let value = try integer(key, in: range) else {
        throw .configuration(path: path, reason: "has no '\(key)'")
      }
      return value
    }
    func positive(_ key: String, default fallback: Float) throws(OspreyError) -> Float {
      let value = try read { () throws(CheckpointError) in try file.number(key) } ?? fallback
      guard value > 0 else { throw .configuration(path: path, reason: "'\(key)' is \(value), must be positive") }
      return value
    }
    let name = try read { () throws(CheckpointError) in try file.string("general.architecture") } ?? ""
    guard name == Self.architecture else {
      throw .configuration(path: path, reason: "'general.architecture' is '\(name)', not '\(Self.architecture)'")
    }
    hiddenSize = try required("llama.embedding_length", in: 1...1 << 16)
    intermediateSize = try required("llama.feed_forward_length", in: 1...1 << 18)
    layers = try required("llama.block_count", in: 1...1 << 10)
    heads = try required("llama.attention.head_count", in: 1...1 << 12)
    keyValueHeads = try integer("llama.attention.head_count_kv", in: 1...1 << 12) ?? heads
    headSize = try integer("llama.attention.key_length", in: 1...1 << 12) ?? max(hiddenSize / heads, 1)
    context = try integer("llama.context_length", in: 1...1 << 20) ?? 2048
    rmsNormEpsilon = try positive("llama.attention.layer_norm_rms_epsilon", default: 1e-6)
    ropeTheta = try positive("llama.rope.freq_base", default: 10000)
    guard let table = file.shape(of: "token_embd.weight"), table.count == 2 else {
      throw .notFound(what: "token_embd.weight", path: path)
    }
    vocabularySize = table[0]
    tiesWordEmbeddings = file.shape(of: "output.weight") == nil
    ropePairing = .neighbours
    projectorType = try read { () throws(CheckpointError) in try file.string("osprey.projector_type") }
    let ends = try read { () throws(CheckpointError) in try file.integers("osprey.end_ids") }
    let end = try integer("tokenizer.ggml.eos_token_id", in: 0...1 << 20) ?? 2
    endIds = ends ?? [end]
    ropeScaling = try Self.ropeScaling(file, half: headSize / 2)
    try checkHeads(path: path)
    let turning = try integer("llama.rope.dimension_count", in: 1...1 << 12) ?? headSize
    let values = try integer("llama.attention.value_length", in: 1...1 << 12) ?? headSize
    guard turning == headSize, values == headSize else {
      throw .configuration(
        path: path,
        reason: "heads of \(headSize) whose 'llama.rope.dimension_count' is \(turning) and "
          + "'llama.attention.value_length' \(values); all must be the same")
    }
  }

  private static func ropeScaling(_ file: GGUFFile, half: Int) throws(OspreyError) -> RopeScaling {
    let path = file.path
    let frequencies = "rope_freqs.weight"
    if file.shape(of: frequencies) != nil {
      let factors = try reading { () throws(CheckpointError) in try file.tensor(frequencies, shape: [half]) }.values
      guard let wrong = factors.first(where: { !($0 > 0 && $0.isFinite) }) else { return .factors(factors) }
      throw .configuration(path: path, reason: "'\(frequencies)' has the factor \(wrong), must be positive")
    }
    let type = try reading { () throws(CheckpointError) in try file.string("llama.rope.scaling.type") } ?? "none"
    switch type {
    case "none": return .none
    case "linear":
      let key = "llama.rope.scaling.factor"
      let factor = try reading { () throws(CheckpointError) in try file.number(key) } ?? 1
      guard factor > 0 else { throw .configuration(path: path, reason: "'\(key)' is \(factor), must be positive") }
      return .linear(factor: factor)
    default:
      throw .configuration(path: path, reason: "'llama.rope.scaling.type' is '\(type)', not none or linear")
    }
  }

  /// The same as llama.cpp wants it.
  ///
  /// - Parameter rows: of the embedding table, which is the vocabulary there.
  func metadata(rows: Int) -> [(key: String, value: GGUFValue)] {
    func count(_ value: Int) -> GGUFValue { .uint32(UInt32(value)) }
    var result: [(key: String, value: GGUFValue)] = [
      ("llama.block_count", count(layers)), ("llama.context_length", count(context)),
      ("llama.embedding_length", count(hiddenSize)), ("llama.feed_forward_length", count(intermediateSize)),
      ("llama.attention.head_count", count(heads)), ("llama.attention.head_count_kv", count(keyValueHeads)),
      ("llama.attention.key_length", count(headSize)), ("llama.attention.value_length", count(headSize)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(rmsNormEpsilon)),
      ("llama.rope.dimension_count", count(headSize)), ("llama.rope.freq_base", .float32(ropeTheta)),
      ("llama.vocab_size", count(rows)),
    ]
    if case .linear(let factor) = ropeScaling {
      result += [("llama.rope.scaling.type", .string("linear")), ("llama.rope.scaling.factor", .float32(factor))]
    }
    return result
  }

  /// What llama.cpp does not ask for.
  var ospreyMetadata: [(key: String, value: GGUFValue)] {
    [("osprey.end_ids", .int32s(endIds.map { Int32(clamping: $0) }))]
      + (projectorType.map { [("osprey.projector_type", .string($0))] } ?? [])
  }

  /// By what each pair's frequency is divided, where a scaling does not divide all by one number.
  var ropeFactors: [Float]? {
    switch ropeScaling {
    case .none, .linear: return nil
    case .factors(let factors): return factors
    case .llama3:
      let plain = RotaryEmbedding.frequencies(theta: ropeTheta, headSize: headSize)
      return zip(plain, RotaryEmbedding(self).frequencies).map { $0 / $1 }
    }
  }
}
