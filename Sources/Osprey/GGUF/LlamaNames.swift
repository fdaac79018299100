/// llama.cpp's names of a LLaMA's tensors beside Hugging Face's. Source: gguf-py's tensor_mapping.py.
enum LlamaNames {
  /// Of a layer: behind `model.layers.N.` and behind `blk.N.`, each with `.weight` or `.bias` to follow.
  static let layer: [(huggingFace: String, gguf: String)] = [
    ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
  ]

  private static let whole: [(huggingFace: String, gguf: String)] = [
    ("model.embed_tokens.weight", "token_embd.weight"), ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
  ]

  private static let toGGUF = Dictionary(uniqueKeysWithValues: layer.map { ($0.huggingFace, $0.gguf) })
  private static let toHuggingFace = Dictionary(uniqueKeysWithValues: layer.map { ($0.gguf, $0.huggingFace) })

  /// llama.cpp's name for one of Hugging Face's; nil where it has none.
  static func gguf(_ name: String) -> String? {
    if let pair = whole.first(where: { $0.huggingFace == name }) { return pair.gguf }
    return translate(name, from: "model.layers.", to: "blk.", toGGUF)
  }

  /// The other way.
  static func huggingFace(_ name: String) -> String? {
    if let pair = whole.first(where: { $0.gguf == name }) { return pair.huggingFace }
    return translate(name, from: "blk.", to: "model.layers.", toHuggingFace)
  }

  /// `FROM` N `.` name `.weight`.
  private static func translate(_ name: String, from: String, to: String, _ table: [String: String]) -> String? {
    guard name.hasPrefix(from) else { return nil }
    let parts = name.dropFirst(from.count).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 3, let number = parts.first, Int(number) != nil, let kind = parts.last,
      kind == "weight" || kind == "bias", let inner = table[parts[1..<parts.count - 1].joined(separator: ".")]
    else { return nil }
    return "\(to)\(number).\(inner).\(kind)"
  }
}
