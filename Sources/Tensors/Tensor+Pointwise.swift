import CKernels

/// The kernels for this CPU: a table of function pointers that nobody writes to after load.
nonisolated(unsafe) let kernels: ck_kernels = ck_best().pointee

extension Tensor {
  /// Adds `other`, of the same shape, in place.
  public mutating func add(_ other: Tensor) {
    precondition(shape == other.shape, "\(shape) + \(other.shape)")
    parallelInPlace(grain: 1 << 15) { part, range in
      other.withUnsafe { source in
        guard let from = source.baseAddress else { return }
        kernels.add(part, from + range.lowerBound, range.count)
      }
    }
  }

  /// Adds one row to each row of the last axis, in place. `[…, C] + [C]`.
  public mutating func addRow(_ row: Tensor) {
    let channels = lastAxis
    precondition(row.count == channels, "\(shape) + row \(row.shape)")
    parallelRows { part, rows in
      row.withUnsafe { kernels.add_row(part, $0.baseAddress, rows, channels) }
    }
  }

  /// Multiplies each channel by `scale` and adds `shift`, in place: a folded batch norm or ConvNeXt's layer scale.
  public mutating func scaleShift(_ scale: Tensor, _ shift: Tensor) {
    let channels = lastAxis
    precondition(scale.count == channels && shift.count == channels)
    parallelRows { part, rows in
      scale.withUnsafe { s in
        shift.withUnsafe { t in kernels.scale_shift_rows(part, s.baseAddress, t.baseAddress, rows, channels) }
      }
    }
  }

  /// Multiplies every number by `factor`, in place.
  public mutating func scale(by factor: Float) {
    parallelInPlace(grain: 1 << 15) { part, range in kernels.scale(part, factor, range.count) }
  }

  /// `max(x, 0)`, in place.
  public mutating func relu() {
    parallelInPlace(grain: 1 << 15) { part, range in kernels.relu(part, range.count) }
  }

  /// The exact GELU, `x/2 · (1 + erf(x/√2))`, in place.
  public mutating func gelu() {
    parallelInPlace(grain: 1 << 13) { part, range in kernels.gelu(part, range.count) }
  }

  /// `silu(self) · up`, in place: the gate of LLaMA's MLP.
  public mutating func siluMultiply(_ up: Tensor) {
    precondition(shape == up.shape)
    parallelInPlace(grain: 1 << 13) { part, range in
      up.withUnsafe { source in
        guard let from = source.baseAddress else { return }
        kernels.silu_multiply(part, from + range.lowerBound, range.count)
      }
    }
  }

  /// Softmax over the last axis, in place.
  public mutating func softmax() {
    let columns = lastAxis
    parallelRows { part, rows in kernels.softmax_rows(part, rows, columns) }
  }

  /// Layer normalisation over the last axis: `(x − mean) / √(var + ε) · weight + bias`.
  public func layerNormalized(weight: Tensor, bias: Tensor, epsilon: Float) -> Tensor {
    let channels = lastAxis
    precondition(weight.count == channels && bias.count == channels, "layer norm of \(shape) by \(weight.shape)")
    return mapRows { from, to, rows in
      weight.withUnsafe { w in
        bias.withUnsafe { b in
          kernels.layer_norm(from, w.baseAddress, b.baseAddress, epsilon, to, rows, channels)
        }
      }
    }
  }

  /// LLaMA's RMSNorm over the last axis: `x / √(mean(x²) + ε) · weight`.
  public func rmsNormalized(weight: Tensor, epsilon: Float) -> Tensor {
    let channels = lastAxis
    precondition(weight.count == channels)
    return mapRows { from, to, rows in
      weight.withUnsafe { kernels.rms_norm(from, $0.baseAddress, epsilon, to, rows, channels) }
    }
  }

  /// The sum of two tensors of one shape.
  public static func + (left: Tensor, right: Tensor) -> Tensor {
    var sum = left
    sum.add(right)
    return sum
  }

  var lastAxis: Int { shape.last ?? 1 }

  /// Runs `body` over pieces of the numbers on the compute pool.
  private mutating func parallelInPlace(grain: Int, _ body: (UnsafeMutablePointer<Float>, Range<Int>) -> Void) {
    let span = Profile.begin(.moving(.pointwise, shape))
    defer { Profile.end(span) }
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      ComputePool.forEach(all.count, grain: grain) { range in body(base + range.lowerBound, range) }
    }
  }

  /// Runs `body` over groups of rows of the last axis on the compute pool.
  private mutating func parallelRows(_ body: (UnsafeMutablePointer<Float>, Int) -> Void) {
    let span = Profile.begin(.moving(.pointwise, shape))
    defer { Profile.end(span) }
    let columns = lastAxis
    guard count > 0 else { return }
    withUnsafeMutable { all in
      guard let base = all.baseAddress else { return }
      ComputePool.forEach(all.count / columns, grain: max(1, (1 << 14) / columns)) { range in
        body(base + range.lowerBound * columns, range.count)
      }
    }
  }

  /// Like `parallelRows`, into a new tensor of the same shape.
  private func mapRows(_ body: (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void) -> Tensor {
    let span = Profile.begin(.moving(.norm, shape))
    defer { Profile.end(span) }
    let columns = lastAxis
    return withUnsafe { source in
      Tensor(shape) { out in
        guard let from = source.baseAddress, let to = out.baseAddress, columns > 0 else { return }
        ComputePool.forEach(source.count / columns, grain: max(1, (1 << 14) / columns)) { range in
          body(from + range.lowerBound * columns, to + range.lowerBound * columns, range.count)
        }
      }
    }
  }
}
