extension Tensor {
  /// A dense convolution with zero padding: patches are laid out as rows and multiplied, some rows of the result at a time.
  ///
  /// - Parameters:
  ///   - weight: `[k·k·in, out]` of `[k, k, in, out]`: `Conv2d.init` brings a checkpoint's `[out, in, k, k]` into this order once.
  ///   - bias: `[out]` or none.
  /// - Returns: `[H', W', out]` for `[H, W, in]`, `H' = (H + 2·padding − k) / stride + 1`.
  public func convolved(
    _ weight: PackedMatrix, kernel: Int, bias: Tensor?, activation: Activation? = nil, stride: Int, padding: Int
  ) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    precondition(weight.inner == kernel * kernel * channels, "convolution of \(shape) by \(weight.inner) numbers")
    if kernel == 1, stride == 1, padding == 0 { return multiplied(by: weight, bias: bias, activation: activation) }
    let outHeight = (height + 2 * padding - kernel) / stride + 1
    let outWidth = (width + 2 * padding - kernel) / stride + 1
    let outputs = weight.columns
    let span = Profile.begin(.convolution(self, kernel: kernel, outHeight, outWidth, weight))
    defer { Profile.end(span) }
    // As many patches as products are worth their start with; they stay in the second cache.
    let rowsAtOnce = max(1, 196 / outWidth)
    return withUnsafe { source in
      (bias ?? Tensor([outputs])).withUnsafe { bias in
        Tensor([outHeight, outWidth, outputs]) { out in
          guard let from = source.baseAddress, let to = out.baseAddress else { return }
          let jobs = (outHeight + rowsAtOnce - 1) / rowsAtOnce
          ComputePool.forEach(jobs, grain: 1) { part in
            let patches = Buffer(uninitialized: rowsAtOnce * outWidth * weight.inner)
            for job in part {
              let rows = job * rowsAtOnce..<Swift.min(outHeight, (job + 1) * rowsAtOnce)
              var target = patches.base
              for y in rows {
                for x in 0..<outWidth {
                  for ky in 0..<kernel {
                    let inY = y * stride + ky - padding
                    // What a patch has of a row of the map lies in one piece, but for padding.
                    let left = x * stride - padding
                    let (first, last) = (Swift.max(0, left), Swift.min(width, left + kernel))
                    guard inY >= 0, inY < height, first < last else {
                      target.update(repeating: 0, count: kernel * channels)
                      target += kernel * channels
                      continue
                    }
                    target.update(repeating: 0, count: (first - left) * channels)
                    target += (first - left) * channels
                    target.update(from: from + (inY * width + first) * channels, count: (last - first) * channels)
                    target += (last - first) * channels
                    target.update(repeating: 0, count: (left + kernel - last) * channels)
                    target += (left + kernel - last) * channels
                  }
                }
              }
              TiledProduct(
                rows: rows.count * outWidth, a: patches.base, strideA: weight.inner, b: weight, adds: false,
                finish: .init(bias: bias.baseAddress, activation: activation),
                c: to + rows.lowerBound * outWidth * outputs,
                strideC: outputs
              ).run()
            }
          }
        }
      }
    }
  }

  /// A depthwise convolution with zero padding, one filter a channel.
  ///
  /// - Parameter weight: `[k, k, C]`.
  /// - Returns: `[H', W', C]` for `[H, W, C]`.
  public func depthwiseConvolved(_ weight: Tensor, bias: Tensor?, stride: Int, padding: Int) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let kernel = weight.shape[0]
    precondition(weight.shape == [kernel, kernel, channels], "depthwise convolution of \(shape) by \(weight.shape)")
    let outHeight = (height + 2 * padding - kernel) / stride + 1
    let outWidth = (width + 2 * padding - kernel) / stride + 1
    let span = Profile.begin(.depthwise(self, kernel: kernel, outHeight, outWidth))
    defer { Profile.end(span) }
    return withUnsafe { source in
      weight.withUnsafe { w in
        (bias ?? Tensor([channels])).withUnsafe { b in
          Tensor([outHeight, outWidth, channels]) { out in
            guard let from = source.baseAddress, let to = out.baseAddress else { return }
            ComputePool.forEach(outHeight, grain: 1) { part in
              var rows = [UnsafePointer<Float>?](repeating: nil, count: kernel)
              for y in part {
                for ky in 0..<kernel {
                  let row = y * stride + ky - padding
                  rows[ky] = row >= 0 && row < height ? from + row * width * channels : nil
                }
                kernels.depthwise_row(
                  &rows, width, channels, w.baseAddress, b.baseAddress, kernel, stride, padding,
                  to + y * outWidth * channels, outWidth)
              }
            }
          }
        }
      }
    }
  }

  /// A transposed convolution with a 2×2 kernel and stride 2, where no outputs overlap: one product, then each pixel's
  /// four results are put in their places.
  ///
  /// - Parameter weight: `[in, 2·2·out]`: `ConvTranspose2d.init` brings a checkpoint's `[in, out, 2, 2]` into this order.
  /// - Returns: `[2H, 2W, out]` for `[H, W, in]`.
  public func doubled(_ weight: Tensor, bias: Tensor) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let outputs = bias.count
    precondition(weight.shape == [channels, 4 * outputs], "transposed convolution of \(shape) by \(weight.shape)")
    let span = Profile.begin(.product(height * width, channels, 4 * outputs, "fp32", bytes: 4 * weight.count))
    defer { Profile.end(span) }
    let product = multiplied(by: weight)  // [H, W, 2·2·out]
    var result = product.withUnsafe { source in
      Tensor([2 * height, 2 * width, outputs]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        for y in 0..<height {
          for x in 0..<width {
            let pixel = from + (y * width + x) * 4 * outputs
            for dy in 0..<2 {
              (to + ((2 * y + dy) * 2 * width + 2 * x) * outputs).update(
                from: pixel + dy * 2 * outputs, count: 2 * outputs)
            }
          }
        }
      }
    }
    result.addRow(bias)
    return result
  }
}
