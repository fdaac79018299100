import COpenBLAS

extension Tensor {
  /// A linear layer: `x · weightᵀ + bias`.
  ///
  /// - Parameters:
  ///   - weight: `[out, in]`, as checkpoints store it.
  ///   - bias: `[out]` or none.
  /// - Returns: `[…, out]` for `[…, in]`.
  public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
    let (outputs, inputs) = (weight.shape[0], weight.count / weight.shape[0])
    precondition(lastAxis == inputs, "linear: \(shape) by weight \(weight.shape)")
    let rows = count / max(inputs, 1)
    return product(with: weight, transposed: true, rows: rows, inner: inputs, columns: outputs, bias: bias)
      .reshaped(shape.dropLast() + [outputs])
  }

  /// A plain product: `[…, K] · [K, N]` → `[…, N]`.
  public func multiplied(by matrix: Tensor, bias: Tensor? = nil) -> Tensor {
    let (inner, columns) = (matrix.shape[0], matrix.shape[1])
    precondition(lastAxis == inner, "product: \(shape) by \(matrix.shape)")
    return product(with: matrix, transposed: false, rows: count / inner, inner: inner, columns: columns, bias: bias)
      .reshaped(shape.dropLast() + [columns])
  }

  /// `[N, K] · [M, K]ᵀ` → `[N, M]`; the bias is laid down first and the product added to it, one pass over the output less.
  private func product(
    with matrix: Tensor, transposed: Bool, rows: Int, inner: Int, columns: Int, bias: Tensor?
  ) -> Tensor {
    if let bias { precondition(bias.count == columns, "bias \(bias.shape) for \(columns) outputs") }
    return withUnsafe { x in
      matrix.withUnsafe { w in
        Tensor([rows, columns]) { out in
          guard rows > 0, columns > 0, let target = out.baseAddress else { return }
          bias?.withUnsafe { b in
            guard let source = b.baseAddress else { return }
            for row in 0..<rows { (target + row * columns).update(from: source, count: columns) }
          }
          // One row, as in decoding word by word: read the weight once where it lies, with nothing packed.
          if rows == 1, transposed {
            cblas_sgemv(
              CblasRowMajor, CblasNoTrans, blasint(columns), blasint(inner), 1, w.baseAddress, blasint(inner),
              x.baseAddress, 1, bias == nil ? 0 : 1, target, 1)
            return
          }
          gemm(
            transposeB: transposed, rows: rows, columns: columns, inner: inner,
            a: x.baseAddress, strideA: inner, b: w.baseAddress, strideB: transposed ? inner : columns,
            beta: bias == nil ? 0 : 1, c: target, strideC: columns)
        }
      }
    }
  }
}

/// Products of at most this many multiplications stay on the caller's thread (OpenBLAS's `SMP_THRESHOLD_MIN` times
/// `GEMM_MULTITHREAD_THRESHOLD`), so only they may run inside `ComputePool.forEach`.
let gemmSingleThreadLimit = 1 << 18

/// The multiplications from which on packing both operands pays.
private let tiledProductLeast = 1 << 22

/// `C = α·A·B + β·C` over row-major matrices with row strides: `A [rows, inner]`, `B [inner, columns]` or, transposed,
/// `[columns, inner]`, `C [rows, columns]`.
///
/// Products too small to pay for packing, and those of few rows, are OpenBLAS's; large ones are `TiledProduct`s.
func gemm(
  transposeB: Bool, rows: Int, columns: Int, inner: Int, alpha: Float = 1,
  a: UnsafePointer<Float>?, strideA: Int, b: UnsafePointer<Float>?, strideB: Int,
  beta: Float = 0, c: UnsafeMutablePointer<Float>, strideC: Int
) {
  if alpha == 1, rows >= 32, columns >= 16, inner >= 16, rows * columns * inner >= tiledProductLeast, let a, let b {
    TiledProduct(
      transposeB: transposeB, rows: rows, columns: columns, inner: inner, a: a, strideA: strideA, b: b,
      strideB: strideB, adds: beta != 0, c: c, strideC: strideC
    ).run()
    return
  }
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    blasint(rows), blasint(columns), blasint(inner), alpha, a, blasint(strideA), b, blasint(strideB), beta, c,
    blasint(strideC))
}
