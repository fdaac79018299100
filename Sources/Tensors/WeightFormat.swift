/// How the numbers of a weight matrix are stored. The block formats are ggml's, by its names.
// swift-format-ignore: AlwaysUseLowerCamelCase
public enum WeightFormat: String, Sendable, CaseIterable {
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  /// 32 numbers of 8 bits and a half-precision scale.
  case q8_0 = "Q8_0"
  /// 32 numbers of 4 bits and a half-precision scale.
  case q4_0 = "Q4_0"
  /// 256 numbers of 4 bits, eight 6-bit scales and minima, and two half-precision factors for those.
  case q4_K = "Q4_K"
  /// 256 numbers of 6 bits, sixteen 8-bit scales, and a half-precision factor for those.
  case q6_K = "Q6_K"

  /// How many numbers share a block; a row has a whole number of blocks.
  public var blockLength: Int {
    switch self {
    case .float32, .float16, .bfloat16: 1
    case .q8_0, .q4_0: 32
    case .q4_K, .q6_K: 256
    }
  }

  /// The bytes of one block.
  public var blockBytes: Int {
    switch self {
    case .float32: 4
    case .float16, .bfloat16: 2
    case .q8_0: 34
    case .q4_0: 18
    case .q4_K: 144
    case .q6_K: 210
    }
  }

  /// The bytes of `numbers` numbers, which fill whole blocks.
  public func byteCount(of numbers: Int) -> Int {
    precondition(numbers % blockLength == 0, "\(numbers) numbers do not fill blocks of \(blockLength)")
    return numbers / blockLength * blockBytes
  }

  /// Writes `count` stored numbers, which may lie at any alignment, as float32.
  func dequantize(_ blocks: UnsafeRawPointer, to target: UnsafeMutablePointer<Float>, count: Int) {
    switch self {
    case .float32: UnsafeMutableRawPointer(target).copyMemory(from: blocks, byteCount: 4 * count)
    case .float16: kernels.dequantize_f16(blocks, target, count)
    case .bfloat16: kernels.dequantize_bf16(blocks, target, count)
    case .q8_0: kernels.dequantize_q8_0(blocks, target, count)
    case .q4_0: kernels.dequantize_q4_0(blocks, target, count)
    case .q4_K: kernels.dequantize_q4_k(blocks, target, count)
    case .q6_K: kernels.dequantize_q6_k(blocks, target, count)
    }
  }
}
