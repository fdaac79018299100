import Tensors

/// From float32 to the forms in which weights are stored, bit for bit as ggml's reference does it without an importance
/// matrix (`quantize_row_…_ref` in ggml-quants.c): the same float operations in the same order.
public enum Quantizer {
  /// What can be written.
  public static let types: [ElementType] = [.float32, .float16, .bfloat16, .q8_0, .q4_0, .q4_K, .q6_K]

  /// Writes a whole number of blocks.
  ///
  /// - Parameters:
  ///   - source: `rows` × `columns` numbers; `columns` is a multiple of the type's block.
  ///   - target: as many bytes as the type takes for them, of any alignment.
  /// - Returns: a number that the type cannot hold, if there is one; the target is then not to be used.
  static func encode(
    _ source: UnsafeBufferPointer<Float>, columns: Int, as type: ElementType, to target: UnsafeMutableRawPointer
  ) -> Float? {
    precondition(columns > 0 && source.count % columns == 0 && columns % type.blockLength == 0)
    guard let base = source.baseAddress else { return nil }
    if let wrong = unrepresentable(source, as: type) { return wrong }
    let rowBytes = type.byteCount(of: columns)
    let grain = max(1, (1 << 14) / columns)
    ComputePool.forEach(source.count / columns, grain: grain) { rows in
      let count = rows.count * columns
      encode(base + rows.lowerBound * columns, count: count, as: type, to: target + rows.lowerBound * rowBytes)
    }
    return nil
  }

  private static func encode(
    _ x: UnsafePointer<Float>, count: Int, as type: ElementType, to y: UnsafeMutableRawPointer
  ) {
    switch type {
    case .float32: y.copyMemory(from: x, byteCount: 4 * count)
    case .float16: for i in 0..<count { store(UInt16(halfOf: x[i]), y + 2 * i) }
    case .bfloat16: for i in 0..<count { store(UInt16(brainOf: x[i]), y + 2 * i) }
    case .q8_0: for b in 0..<count / 32 { encodeQ8(x + 32 * b, to: y + 34 * b) }
    case .q4_0: for b in 0..<count / 32 { encodeQ4(x + 32 * b, to: y + 18 * b) }
    case .q4_K: encodeQ4K(x, blocks: count / 256, to: y)
    case .q6_K: encodeQ6K(x, blocks: count / 256, to: y)
    default: preconditionFailure("\(type.rawValue) is not written")
    }
  }

  /// Of blocks all numbers must be finite, or one would spoil its block's scale.
  private static func unrepresentable(_ x: UnsafeBufferPointer<Float>, as type: ElementType) -> Float? {
    let limit: Float
    switch type {
    case .float32: return nil
    case .float16: limit = 65520  // rounds to infinity
    default: limit = .infinity
    }
    return x.first { !($0.magnitude < limit) }
  }

  /// Files need not align what they hold.
  static func store(_ value: UInt16, _ target: UnsafeMutableRawPointer) {
    target.storeBytes(of: value.littleEndian, as: UInt16.self)
  }

  /// 32 numbers: scale (half), 32 signed bytes.
  private static func encodeQ8(_ x: UnsafePointer<Float>, to y: UnsafeMutableRawPointer) {
    var greatest: Float = 0
    for i in 0..<32 { greatest = max(greatest, x[i].magnitude) }
    let scale = greatest / 127
    let inverse: Float = scale != 0 ? 1 / scale : 0
    store(UInt16(halfOf: scale), y)
    for i in 0..<32 {
      let level = (x[i] * inverse).rounded(.toNearestOrAwayFromZero).truncated
      y.storeBytes(of: UInt8(truncatingIfNeeded: level), toByteOffset: 2 + i, as: UInt8.self)
    }
  }

  /// 32 numbers: scale (half), 16 bytes of two numbers 0…15 each, which mean −8…7; number `i` with number `i + 16`.
  private static func encodeQ4(_ x: UnsafePointer<Float>, to y: UnsafeMutableRawPointer) {
    // The scale has the sign of the greatest number, so that this one becomes exactly −8.
    var (greatest, signed): (Float, Float) = (0, 0)
    for i in 0..<32 where greatest < x[i].magnitude { (greatest, signed) = (x[i].magnitude, x[i]) }
    let scale = signed / -8
    let inverse: Float = scale != 0 ? 1 / scale : 0
    store(UInt16(halfOf: scale), y)
    func level(_ value: Float) -> UInt8 {
      UInt8(truncatingIfNeeded: min(15, Int8(truncatingIfNeeded: (value * inverse + 8.5).truncated)))
    }
    for i in 0..<16 {
      y.storeBytes(of: level(x[i]) | level(x[i + 16]) << 4, toByteOffset: 2 + i, as: UInt8.self)
    }
  }
}
