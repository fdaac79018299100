extension Tensor {
  /// A dense convolution with zero padding: patches are laid out as rows and multiplied at once.
  ///
  /// - Parameters:
  ///   - weight: `[k, k, in, out]`: `Conv2d.init` brings a checkpoint's `[out, in, k, k]` into this order once.
  ///   - packed: the same as a packed matrix `[k·k·in, out]`, where products have another precision.
  ///   - bias: `[out]` or none.
  /// - Returns: `[H', W', out]` for `[H, W, in]`, `H' = (H + 2·padding − k) / stride + 1`.
  public func convolved(
    _ weight: Tensor, packed: PackedMatrix? = nil, bias: Tensor?, activation: Activation? = nil, stride: Int,
    padding: Int
  ) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let (kernel, outputs) = (weight.shape[0], weight.shape[3])
    precondition(weight.shape == [kernel, kernel, channels, outputs], "convolution of \(shape) by \(weight.shape)")
    let outHeight = (height + 2 * padding - kernel) / stride + 1
    let outWidth = (width + 2 * padding - kernel) / stride + 1
    func product(_ rows: Tensor) -> Tensor {
      if let packed { return rows.multiplied(by: packed, bias: bias, activation: activation) }
      return rows.multiplied(
        by: weight.reshaped([kernel * kernel * channels, outputs]), bias: bias, activation: activation)
    }
    if kernel == 1, stride == 1, padding == 0 { return product(self) }

    let patches = withUnsafe { source in
      Tensor([outHeight * outWidth, kernel * kernel * channels]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        ComputePool.forEach(outHeight, grain: 4) { rows in
          for y in rows {
            var target = to + y * outWidth * kernel * kernel * channels
            for x in 0..<outWidth {
              for ky in 0..<kernel {
                let inY = y * stride + ky - padding
                for kx in 0..<kernel {
                  let inX = x * stride + kx - padding
                  if inY >= 0, inY < height, inX >= 0, inX < width {
                    target.update(from: from + (inY * width + inX) * channels, count: channels)
                  } else {
                    target.update(repeating: 0, count: channels)
                  }
                  target += channels
                }
              }
            }
          }
        }
      }
    }
    return product(patches).reshaped([outHeight, outWidth, outputs])
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
