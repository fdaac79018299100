import Tensors

extension Osprey {
  /// How the language model's layers are stored: the formats by their share of the numbers, the greatest first, such as
  /// `fp32`, `fp16` or `Q4_K+Q6_K`.
  public var quantization: String {
    var numbers: [WeightFormat: Int] = [:]
    for layer in llama.layers {
      let matrices = [layer.query, layer.key, layer.value, layer.output, layer.gate, layer.up, layer.down]
      for matrix in matrices.map(\.weight) { numbers[matrix.format, default: 0] += matrix.rows * matrix.columns }
    }
    let formats = WeightFormat.allCases.filter { numbers[$0] != nil }
      .sorted { numbers[$0, default: 0] > numbers[$1, default: 0] }
    return formats.map(\.shortName).joined(separator: "+")
  }
}

extension WeightFormat {
  fileprivate var shortName: String {
    switch self {
    case .float32: "fp32"
    case .float16: "fp16"
    case .bfloat16: "bf16"
    case .q8_0, .q4_0, .q4_K, .q6_K: rawValue
    }
  }
}
