import CKernels

extension Tensor {
  /// A linear layer by a matrix that stays as its file stores it: `x · weightᵀ + bias`.
  ///
  /// Blocks are multiplied in integers where the CPU is good at it. Otherwise, few rows, as in decoding, are bound by
  /// reading the weight: each of its rows is widened into the first cache and multiplied there with all rows of `x`; a
  /// row's result does not depend on the others. Many rows are bound by arithmetic: the weight is widened panel by panel
  /// for a product of floats.
  ///
  /// - Parameter bias: `[weight.rows]` or none.
  /// - Returns: `[…, weight.rows]` for `[…, weight.columns]`.
  public func linear(_ weight: WeightMatrix, bias: Tensor? = nil) -> Tensor {
    precondition(lastAxis == weight.columns, "linear: \(shape) by weight [\(weight.rows), \(weight.columns)]")
    let count = self.count / weight.columns
    let span = Profile.begin(
      .product(count, weight.columns, weight.rows, weight.format.rawValue, bytes: weight.byteCount))
    defer { Profile.end(span) }
    var product =
      blockLinear(weight, count) ?? (count <= fewRows ? rowByRow(weight, count) : panelByPanel(weight, count))
    if let bias { product.addRow(bias) }
    return product.reshaped(shape.dropLast() + [weight.rows])
  }

  /// `[count, columns]` → `[count, rows]`, as inner products.
  func rowByRow(_ weight: WeightMatrix, _ count: Int) -> Tensor {
    let (rows, columns, rowBytes) = (weight.rows, weight.columns, weight.rowBytes)
    return withUnsafe { x in
      weight.withUnsafeBytes { base in
        Tensor([count, rows]) { out in
          guard let x = x.baseAddress, let out = out.baseAddress else { return }
          let isPlain = weight.tensor != nil
          ComputePool.forEach(rows, grain: max(1, (1 << 17) / (columns * max(count, 1)))) { part in
            let wide = Buffer(uninitialized: isPlain ? 0 : columns)
            for row in part {
              let stored = base + row * rowBytes
              if isPlain {
                kernels.dot_rows(stored.assumingMemoryBound(to: Float.self), x, count, columns, out + row, rows)
              } else {
                weight.format.dequantize(stored, to: wide.base, count: columns)
                kernels.dot_rows(wide.base, x, count, columns, out + row, rows)
              }
            }
          }
        }
      }
    }
  }

  /// `[count, columns]` → `[count, rows]`, as products with panels of the weight's rows.
  private func panelByPanel(_ weight: WeightMatrix, _ count: Int) -> Tensor {
    if let tensor = weight.tensor { return linear(tensor) }
    let (rows, columns, rowBytes) = (weight.rows, weight.columns, weight.rowBytes)
    let panel = min(rows, max(1, panelNumbers / columns))
    return withUnsafe { x in
      weight.withUnsafeBytes { base in
        Tensor([count, rows]) { out in
          guard let out = out.baseAddress else { return }
          let wide = Buffer(uninitialized: panel * columns)
          for first in stride(from: 0, to: rows, by: panel) {
            let height = min(panel, rows - first)
            ComputePool.forEach(height, grain: max(1, (1 << 15) / columns)) { part in
              weight.format.dequantize(
                base + (first + part.lowerBound) * rowBytes, to: wide.base + part.lowerBound * columns,
                count: part.count * columns)
            }
            gemm(
              transposeB: true, rows: count, columns: height, inner: columns, a: x.baseAddress, strideA: columns,
              b: wide.base, strideB: columns, c: out + first, strideC: rows)
          }
        }
      }
    }
  }
}

/// Up to this many rows of `x` the weight is read once, row by row.
let fewRows = 16
/// The float32 numbers of a panel: 8 MiB.
private let panelNumbers = 1 << 21
