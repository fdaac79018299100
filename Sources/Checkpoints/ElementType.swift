import Tensors

/// How stored numbers are written; the raw values are safetensors' names, and ggml's for its blocks.
// swift-format-ignore: AlwaysUseLowerCamelCase
public enum ElementType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint8 = "U8"
  case bool = "BOOL"
  // Numbers in blocks that share scales; a row is a whole number of blocks. Source: ggml's ggml-common.h.
  case q8_0 = "Q8_0"
  case q4_0 = "Q4_0"
  case q4_K = "Q4_K"
  case q6_K = "Q6_K"

  /// The same as weights are computed with, or nil.
  public var weightFormat: WeightFormat? { WeightFormat(rawValue: rawValue) }

  /// How many numbers a block has; 1 where each stands alone.
  public var blockLength: Int { weightFormat?.blockLength ?? 1 }

  /// Of a number, or of a block of them, in bytes.
  public var size: Int {
    switch self {
    case .float64, .int64: 8
    case .int32: 4
    case .int16: 2
    case .int8, .uint8, .bool: 1
    case .float32, .float16, .bfloat16, .q8_0, .q4_0, .q4_K, .q6_K: weightFormat?.blockBytes ?? 0
    }
  }

  /// What so many numbers take, in whole blocks.
  public func byteCount(of numbers: Int) -> Int { numbers / blockLength * size }
}
