import CKernels

/// One of the sets of tiles that products of a precision can be made of on this CPU: for benchmarks, which set them side by side.
public struct ProductSet {
  public let name: String
  public let precision: Precision
  private let tiles: ck_tiles

  /// Every set, precision by precision, the plain twin first.
  public static var available: [ProductSet] {
    Precision.allCases.flatMap { precision in
      Precision.availableTiles(precision).map {
        ProductSet(name: String(cString: $0.name), precision: precision, tiles: $0)
      }
    }
  }

  /// `[inner, columns]` as this set's products read it.
  public func pack(_ matrix: Tensor) -> PackedMatrix {
    matrix.withUnsafe { all in
      guard let base = all.baseAddress else { preconditionFailure("a matrix without numbers") }
      return PackedMatrix(
        base, stride: matrix.shape[1], transposed: false, inner: matrix.shape[0], columns: matrix.shape[1], tiles)
    }
  }
}
