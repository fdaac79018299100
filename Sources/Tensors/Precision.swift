import CKernels

/// How the operands of large products are rounded. Sums are float32 (int32 within a product in int8), and so is everything
/// between products.
public enum Precision: String, Sendable, CaseIterable {
  case fp32
  /// Both operands with 8 bits of fraction.
  case bf16
  /// Both operands in 8 bits, with a scale for each row of the left one and each column of the right one.
  case int8

  /// Of attention's products (but for ViT's with keys) and convolutions, where int8 is bf16: the weights of a softmax span too much for
  /// 8 bits, and so do pictures and the maps near them, of which whole masks hang.
  public var beyondLinear: Precision { self == .int8 ? (Self.bf16.isAvailable ? .bf16 : .fp32) : self }

  /// Whether this CPU has instructions for it.
  public var isAvailable: Bool { ck_best_tiles(code) != nil }

  var code: ck_precision {
    switch self {
    case .fp32: ck_fp32
    case .bf16: ck_bf16
    case .int8: ck_int8
    }
  }

  /// The kernels for this CPU: the plain twin where it has no instructions for the precision.
  var tiles: ck_tiles { allTiles[Int(code.rawValue)] }

  /// Every set that this CPU can run, the plain twin first.
  static func availableTiles(_ precision: Precision) -> [ck_tiles] {
    var sets = [UnsafePointer<ck_tiles>?](repeating: nil, count: 3)
    let count = ck_available_tiles(precision.code, &sets, sets.count)
    return sets.prefix(count).compactMap { $0?.pointee }
  }
}

/// By the numbers that the kernels give precisions.
nonisolated(unsafe) private let allTiles = Precision.allCases.map { precision in
  let sets = Precision.availableTiles(precision)
  return sets[sets.count - 1]
}
