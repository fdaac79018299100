import CKernels

/// The weights of an inverted bottleneck: wider, a depthwise 3×3 convolution, narrower.
public struct BottleneckWeights {
  /// `[K, W]`, `[W]`
  public let widen: PackedMatrix
  public let widenBias: Tensor
  /// `[3, 3, W]`, `[W]`; padded by 1.
  public let depthwise: Tensor
  public let depthwiseBias: Tensor
  public let stride: Int
  /// `[W, C]`, `[C]`
  public let narrow: PackedMatrix
  public let narrowBias: Tensor

  public init(
    widen: PackedMatrix, _ widenBias: Tensor, depthwise: Tensor, _ depthwiseBias: Tensor, stride: Int,
    narrow: PackedMatrix, _ narrowBias: Tensor
  ) {
    (self.widen, self.widenBias, self.narrow, self.narrowBias) = (widen, widenBias, narrow, narrowBias)
    (self.depthwise, self.depthwiseBias, self.stride) = (depthwise, depthwiseBias, stride)
  }
}

extension Tensor {
  /// `narrow(gelu(depthwise(gelu(widen(x)))))` of a map, row by row: of the wide map, which is several times as large, a thread
  /// holds the three rows that its next row needs.
  ///
  /// - Parameter residual: whether the result is `gelu(x + …)` of that, for a stride of 1 and as many channels.
  /// - Returns: `[⌈H/stride⌉, ⌈W/stride⌉, C]` for `[H, W, K]`.
  public func bottlenecked(_ weights: BottleneckWeights, residual: Bool) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let (wide, outputs, stride) = (weights.widen.columns, weights.narrow.columns, weights.stride)
    precondition(channels == weights.widen.inner && wide == weights.narrow.inner)
    precondition(weights.depthwise.shape == [3, 3, wide] && (!residual || (stride == 1 && outputs == channels)))
    let (outHeight, outWidth) = ((height - 1) / stride + 1, (width - 1) / stride + 1)
    let span = Profile.begin(.bottleneck(self, weights, outHeight, outWidth))
    defer { Profile.end(span) }
    return withUnsafe { x in
      weights.widenBias.withUnsafe { widenBias in
        weights.depthwise.withUnsafe { depthwise in
          weights.depthwiseBias.withUnsafe { depthwiseBias in
            weights.narrowBias.withUnsafe { narrowBias in
              Tensor([outHeight, outWidth, outputs]) { out in
                guard let x = x.baseAddress, let out = out.baseAddress else { return }
                ComputePool.forEach(outHeight, grain: 4) { part in
                  let ring = Buffer(uninitialized: 3 * width * wide)
                  let middle = Buffer(uninitialized: outWidth * wide)
                  /// Where a row of the wide map lies while it is needed.
                  func slot(_ row: Int) -> UnsafeMutablePointer<Float> { ring.base + row % 3 * width * wide }
                  var next = Swift.max(0, part.lowerBound * stride - 1)
                  for y in part {
                    let last = Swift.min(height - 1, y * stride + 1)
                    while next <= last {
                      TiledProduct(
                        rows: width, a: x + next * width * channels, strideA: channels, b: weights.widen, adds: false,
                        finish: .init(bias: widenBias.baseAddress, activation: .gelu), c: slot(next), strideC: wide
                      ).run()
                      next += 1
                    }
                    var rows = (y * stride - 1...y * stride + 1).map { row -> UnsafePointer<Float>? in
                      row >= 0 && row < height ? UnsafePointer(slot(row)) : nil
                    }
                    kernels.depthwise_row(
                      &rows, width, wide, depthwise.baseAddress, depthwiseBias.baseAddress, 3, stride, 1, middle.base,
                      outWidth)
                    kernels.gelu(middle.base, outWidth * wide)
                    let target = out + y * outWidth * outputs
                    if residual { target.update(from: x + y * width * channels, count: width * channels) }
                    TiledProduct(
                      rows: outWidth, a: middle.base, strideA: wide, b: weights.narrow, adds: residual,
                      finish: .init(bias: narrowBias.baseAddress, activation: residual ? .gelu : nil), c: target,
                      strideC: outputs
                    ).run()
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}
