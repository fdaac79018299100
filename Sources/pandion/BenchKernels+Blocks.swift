import Tensors

extension KernelBench {
  /// Products with block formats in integers, on all threads, at the size of LLaMA-7B's attention: one row of activations, as in
  /// decoding, which is bound by reading the weight, and many, as in a prefix, which are bound by arithmetic.
  func blockProducts() -> [Row] {
    BlockProductSet.formats.flatMap { format in
      let weight = Self.weight(format, rows: 4096, columns: 4096)
      return [1, 64].flatMap { Self.rows($0, weight, timed: { body in fastest({}, body) }) }
    }
  }

  /// One product by each set of kernels.
  ///
  /// - Parameter timed: runs what it is given and tells the seconds.
  static func rows(_ count: Int, _ weight: WeightMatrix, timed: (() -> Void) -> Double) -> [Row] {
    let x = numbers([count, weight.columns])
    let flops = 2 * Double(count * weight.rows * weight.columns)
    var scalar: Double?
    return BlockProductSet.available.map { set in
      let seconds = timed { _ = set.multiply(x, weight) }
      let base = scalar ?? seconds
      scalar = base
      return Row(
        kernel: "product \(count)×\(weight.columns)×\(weight.rows), \(weight.format.rawValue) (LLaMA-7B)",
        set: "\(weight.format.rawValue) \(set.name)", milliseconds: seconds * 1000, rate: flops / seconds / 1e9,
        unit: "GFLOP/s", timesScalar: base / seconds, timesSgemm: nil,
        weightGbPerSecond: Double(weight.byteCount) / seconds / 1e9)
    }
  }

  /// A matrix of bytes that are finite numbers in every format: no half among them has all bits of its exponent.
  static func weight(_ format: WeightFormat, rows: Int, columns: Int) -> WeightMatrix {
    let memory = StoredBytes(count: rows * format.byteCount(of: columns))
    return WeightMatrix(rows: rows, columns: columns, format: format, borrowing: memory.base, owner: memory)
  }

  /// Bytes that nobody changes.
  private final class StoredBytes: @unchecked Sendable {
    let base: UnsafeRawPointer

    init(count: Int) {
      let bytes = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
      for i in 0..<count {
        bytes.storeBytes(of: UInt8(truncatingIfNeeded: i * 37) & 0x3b, toByteOffset: i, as: UInt8.self)
      }
      base = UnsafeRawPointer(bytes)
    }

    deinit { base.deallocate() }
  }
}
