/// A way in which ggml stores tensors. Every one that has a number is known by name and size, so that a file's layout can be
/// checked; those with an `elementType` are read. Source: `ggml_type` in ggml.h, the blocks in ggml-common.h.
struct GGMLType: Sendable, Equatable {
  let code: UInt32
  let name: String
  /// Numbers a block.
  let blockLength: Int
  /// In bytes.
  let blockSize: Int

  /// The same as this program reads it, or nil.
  var elementType: ElementType? { ElementType(rawValue: name) }

  func byteCount(of numbers: Int) -> Int { numbers / blockLength * blockSize }

  static let all: [UInt32: GGMLType] = {
    let table: [(UInt32, String, Int, Int)] = [
      (0, "F32", 1, 4), (1, "F16", 1, 2), (30, "BF16", 1, 2), (28, "F64", 1, 8), (24, "I8", 1, 1), (25, "I16", 1, 2),
      (26, "I32", 1, 4), (27, "I64", 1, 8), (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22),
      (7, "Q5_1", 32, 24), (8, "Q8_0", 32, 34), (9, "Q8_1", 32, 40), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110),
      (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210), (15, "Q8_K", 256, 292),
      (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50),
      (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110), (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136),
      (29, "IQ1_M", 256, 56), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17),
      (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18),
    ]
    return Dictionary(
      uniqueKeysWithValues: table.map { ($0.0, GGMLType(code: $0.0, name: $0.1, blockLength: $0.2, blockSize: $0.3)) })
  }()

  /// The number of a type that this program writes.
  static func code(of type: ElementType) -> UInt32? { all.values.first { $0.name == type.rawValue }?.code }
}
