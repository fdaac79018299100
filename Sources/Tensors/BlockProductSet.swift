import CKernels

/// One of the sets of integer kernels that products with block formats can be made by on this CPU: for benchmarks, which set them side
/// by side.
public struct BlockProductSet {
  public let name: String
  private let kernels: ck_block_kernels

  /// The formats that they multiply.
  public static let formats = WeightFormat.allCases.filter(\.hasIntegerProducts)

  /// Every set, the plain twin first.
  public static var available: [BlockProductSet] {
    var found = [UnsafePointer<ck_block_kernels>?](repeating: nil, count: 4)
    let count = ck_available_blocks(&found, found.count)
    return found.prefix(count).compactMap { $0?.pointee }.map {
      BlockProductSet(name: String(cString: $0.name), kernels: $0)
    }
  }

  /// `x · weightᵀ`, the activations rounded as in every product: `[M, K]` by `[N, K]` is `[M, N]`.
  public func multiply(_ x: Tensor, _ weight: WeightMatrix) -> Tensor {
    precondition(x.lastAxis == weight.columns, "\(x.shape) by weight [\(weight.rows), \(weight.columns)]")
    guard let product = x.blockLinear(weight, x.count / weight.columns, set: kernels) else {
      preconditionFailure("\(weight.format.rawValue) has no blocks")
    }
    return product
  }
}
