import Checkpoints
import Foundation
import Tensors

/// What `config.json` says of the language model, under Hugging Face's names, and of Osprey's additions (`mm_…`).
public struct LlamaConfiguration: Sendable, Equatable {
  /// How positions are stretched beyond what the model was trained on.
  public enum RopeScaling: Sendable, Equatable {
    case none
    case linear(factor: Float)
    case llama3(factor: Float, lowFrequencyFactor: Float, highFrequencyFactor: Float, originalContext: Float)
    /// Each pair's frequency divided by its own factor, as llama.cpp's files have it: `[headSize/2]`.
    case factors([Float])
  }

  public let hiddenSize: Int
  public let intermediateSize: Int
  public let layers: Int
  public let heads: Int
  public let keyValueHeads: Int
  public let headSize: Int
  public let vocabularySize: Int
  /// The most positions a sequence may have.
  public let context: Int
  public let rmsNormEpsilon: Float
  public let ropeTheta: Float
  public let ropeScaling: RopeScaling
  /// How the rows of the weights are ordered that make queries and keys.
  public let ropePairing: RotaryPairing
  public let tiesWordEmbeddings: Bool
  public let endIds: [Int]
  public let projectorType: String?

  private static let fileLimit = 1 << 20

  public init(path: String) throws(OspreyError) {
    let file = try reading { () throws(CheckpointError) in try MappedFile(path: path) }
    guard file.bytes.count <= Self.fileLimit else { throw .configuration(path: path, reason: "is larger than 1 MiB") }
    try self.init(json: Data(file.bytes), path: path)
  }

  init(json: Data, path: String) throws(OspreyError) {
    guard let object = try? JSONSerialization.jsonObject(with: json), let fields = object as? [String: Any] else {
      throw .configuration(path: path, reason: "is not a JSON object")
    }
    let reader = Fields(fields, path: path)
    hiddenSize = try reader.integer("hidden_size", in: 1...1 << 16)
    intermediateSize = try reader.integer("intermediate_size", in: 1...1 << 18)
    layers = try reader.integer("num_hidden_layers", in: 1...1 << 10)
    heads = try reader.integer("num_attention_heads", in: 1...1 << 12)
    keyValueHeads = try reader.integer("num_key_value_heads", in: 1...1 << 12, default: heads)
    headSize = try reader.integer("head_dim", in: 1...1 << 12, default: max(hiddenSize / heads, 1))
    vocabularySize = try reader.integer("vocab_size", in: 1...1 << 20)
    context = try reader.integer("max_position_embeddings", in: 1...1 << 20, default: 2048)
    rmsNormEpsilon = try reader.number("rms_norm_eps", default: 1e-6)
    ropeTheta = try reader.number("rope_theta", default: 10000)
    tiesWordEmbeddings = fields["tie_word_embeddings"] as? Bool ?? false
    projectorType = fields["mm_projector_type"] as? String
    endIds = (fields["eos_token_id"] as? [Int]) ?? (fields["eos_token_id"] as? Int).map { [$0] } ?? [2]
    ropeScaling = try Self.ropeScaling(fields["rope_scaling"], path: path)
    ropePairing = .halves
    try checkHeads(path: path)
    if let activation = fields["hidden_act"] as? String, activation != "silu" {
      throw .configuration(path: path, reason: "hidden_act is '\(activation)', not 'silu'")
    }
  }

  func checkHeads(path: String) throws(OspreyError) {
    guard heads % keyValueHeads == 0 else {
      throw .configuration(path: path, reason: "num_key_value_heads \(keyValueHeads) does not divide \(heads) heads")
    }
    guard headSize % 2 == 0 else { throw .configuration(path: path, reason: "its heads have the odd size \(headSize)") }
  }

  private static func ropeScaling(_ value: Any?, path: String) throws(OspreyError) -> RopeScaling {
    guard let fields = value as? [String: Any] else { return .none }
    let reader = Fields(fields, path: path)
    let type = (fields["rope_type"] ?? fields["type"]) as? String ?? "default"
    switch type {
    // Dynamic scaling starts beyond `max_position_embeddings`, where this program never goes.
    case "default", "dynamic": return .none
    case "linear": return .linear(factor: try reader.number("factor"))
    case "llama3":
      return .llama3(
        factor: try reader.number("factor"), lowFrequencyFactor: try reader.number("low_freq_factor"),
        highFrequencyFactor: try reader.number("high_freq_factor"),
        originalContext: try reader.number("original_max_position_embeddings"))
    default: throw .configuration(path: path, reason: "rope_scaling is '\(type)', not linear, dynamic or llama3")
    }
  }

  private struct Fields {
    let values: [String: Any]
    let path: String

    init(_ values: [String: Any], path: String) { (self.values, self.path) = (values, path) }

    func integer(
      _ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil
    ) throws(OspreyError) -> Int {
      let value = values[key] is NSNull ? nil : values[key]
      guard let number = value == nil ? fallback : value as? Int else {
        throw .configuration(path: path, reason: "needs the whole number '\(key)'")
      }
      guard range.contains(number) else {
        throw .configuration(
          path: path, reason: "'\(key)' is \(number), must be \(range.lowerBound)…\(range.upperBound)")
      }
      return number
    }

    func number(_ key: String, default fallback: Float? = nil) throws(OspreyError) -> Float {
      let value = values[key] is NSNull ? nil : values[key]
      guard let number = value == nil ? fallback : (value as? Double).map({ Float($0) }) else {
        throw .configuration(path: path, reason: "needs the number '\(key)'")
      }
      guard number.isFinite, number > 0 else {
        throw .configuration(path: path, reason: "'\(key)' is \(number), must be positive")
      }
      return number
    }
  }
}
