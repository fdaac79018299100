import COpenBLAS

/// What stands behind a layer.
public enum Activation: Sendable {
  case relu
  case gelu
}

extension Tensor {
  /// A linear layer: `activation(x · weightᵀ + bias)`.
  ///
  /// - Parameters:
  ///   - weight: `[out, in]`, as checkpoints store it.
  ///   - bias: `[out]` or none.
  /// - Returns: `[…, out]` for `[…, in]`.
  public func linear(_ weight: Tensor, bias: Tensor? = nil, activation: Activation? = nil) -> Tensor {
    let (outputs, inputs) = (weight.shape[0], weight.count / weight.shape[0])
    precondition(lastAxis == inputs, "linear: \(shape) by weight \(weight.shape)")
    return product(with: weight, transposed: true, inner: inputs, columns: outputs, bias, activation)
  }

  /// A plain product: `[…, K] · [K, N]` → `[…, N]`.
  public func multiplied(by matrix: Tensor, bias: Tensor? = nil, activation: Activation? = nil) -> Tensor {
    let (inner, columns) = (matrix.shape[0], matrix.shape[1])
    precondition(lastAxis == inner, "product: \(shape) by \(matrix.shape)")
    return product(with: matrix, transposed: false, inner: inner, columns: columns, bias, activation)
  }

  /// The same with a matrix that was packed before: `activation(x · matrix + bias)`, `[…, K]` → `[…, N]`.
  public func multiplied(by matrix: PackedMatrix, bias: Tensor? = nil, activation: Activation? = nil) -> Tensor {
    precondition(lastAxis == matrix.inner, "product: \(shape) by [\(matrix.inner), \(matrix.columns)]")
    let span = Profile.begin(.product(count / matrix.inner, matrix))
    defer { Profile.end(span) }
    return Tensor(shape.dropLast() + [matrix.columns]) { out in
      tiled(matrix, bias, activation, adds: false, out)
    }
  }

  /// Adds `x · matrix + bias` in place; x `[…, K]` has as many rows as this.
  public mutating func add(_ x: Tensor, multipliedBy matrix: PackedMatrix, bias: Tensor?) {
    precondition(x.lastAxis == matrix.inner && lastAxis == matrix.columns && x.shape.dropLast() == shape.dropLast())
    let span = Profile.begin(.product(x.count / matrix.inner, matrix, adds: true))
    defer { Profile.end(span) }
    withUnsafeMutable { x.tiled(matrix, bias, nil, adds: true, $0) }
  }

  /// `activation(x · matrix + bias)`, or that added to what `out` has.
  func tiled(
    _ matrix: PackedMatrix, _ bias: Tensor?, _ activation: Activation?, adds: Bool,
    _ out: UnsafeMutableBufferPointer<Float>
  ) {
    if let bias { precondition(bias.count == matrix.columns, "bias \(bias.shape) for \(matrix.columns) outputs") }
    withUnsafe { x in
      guard let x = x.baseAddress, let c = out.baseAddress else { return }
      func run(_ bias: UnsafePointer<Float>?) {
        TiledProduct(
          rows: count / matrix.inner, a: x, strideA: matrix.inner, b: matrix, adds: adds,
          finish: TiledProduct.Finish(bias: bias, activation: activation), c: c, strideC: matrix.columns
        ).run()
      }
      if let bias { bias.withUnsafe { run($0.baseAddress) } } else { run(nil) }
    }
  }

  /// `[N, K] · [K, M]`, or `· [M, K]ᵀ`, → `[N, M]`.
  private func product(
    with matrix: Tensor, transposed: Bool, inner: Int, columns: Int, _ bias: Tensor?, _ activation: Activation?
  ) -> Tensor {
    if let bias { precondition(bias.count == columns, "bias \(bias.shape) for \(columns) outputs") }
    let rows = count / max(inner, 1)
    let span = Profile.begin(.product(rows, inner, columns, "fp32", bytes: 4 * matrix.count))
    defer { Profile.end(span) }
    // The weight is read once where it lies: packing it would cost more than the product.
    let isFew = transposed && rows > 0 && rows <= fewRows && inner >= 64
    if !isFew, isTiled(rows: rows, columns: columns, inner: inner) {
      let packed = transposed ? PackedMatrix(transposing: matrix, .fp32) : PackedMatrix(matrix, .fp32)
      return multiplied(by: packed, bias: bias, activation: activation)
    }
    var out: Tensor
    if isFew {
      out = rowByRow(WeightMatrix(matrix.reshaped([columns, inner])), rows).reshaped(shape.dropLast() + [columns])
    } else {
      out = withUnsafe { x in
        matrix.withUnsafe { w in
          Tensor(shape.dropLast() + [columns]) { out in
            guard rows > 0, columns > 0, let target = out.baseAddress else { return }
            gemm(
              transposeB: transposed, rows: rows, columns: columns, inner: inner,
              a: x.baseAddress, strideA: inner, b: w.baseAddress, strideB: transposed ? inner : columns,
              c: target, strideC: columns)
          }
        }
      }
    }
    if let bias { out.addRow(bias) }
    switch activation {
    case .relu: out.relu()
    case .gelu: out.gelu()
    case nil: break
    }
    return out
  }
}

/// OpenBLAS computes on the caller's thread.
private let openBLASAlone: Void = openblas_set_num_threads(1)

/// Whether packing both operands pays: not for few multiplications, nor for few rows.
private func isTiled(rows: Int, columns: Int, inner: Int) -> Bool {
  rows >= 32 && columns >= 16 && inner >= 16 && rows * columns * inner >= 1 << 22
}

/// `C = α·A·B + β·C` over row-major matrices with row strides: `A [rows, inner]`, `B [inner, columns]` or, transposed,
/// `[columns, inner]`.
///
/// Products too small to pay for packing, and those of few rows, are OpenBLAS's; large ones are `TiledProduct`s.
func gemm(
  transposeB: Bool, rows: Int, columns: Int, inner: Int, alpha: Float = 1,
  a: UnsafePointer<Float>?, strideA: Int, b: UnsafePointer<Float>?, strideB: Int,
  beta: Float = 0, c: UnsafeMutablePointer<Float>, strideC: Int
) {
  if alpha == 1, beta == 0 || beta == 1, isTiled(rows: rows, columns: columns, inner: inner), let a, let b {
    let packed = PackedMatrix(
      b, stride: strideB, transposed: transposeB, inner: inner, columns: columns, Precision.fp32.tiles)
    TiledProduct(rows: rows, a: a, strideA: strideA, b: packed, adds: beta != 0, c: c, strideC: strideC).run()
    return
  }
  _ = openBLASAlone
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    blasint(rows), blasint(columns), blasint(inner), alpha, a, blasint(strideA), b, blasint(strideB), beta, c,
    blasint(strideC))
}
