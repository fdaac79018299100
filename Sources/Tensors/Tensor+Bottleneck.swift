import CKernels

/// The weights of an inverted bottleneck: wider, a depthwise 3×3 convolution, narrower.
public struct BottleneckWeights: Sendable {
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
  /// What a block has in a row of the wide map, about; three of them and what comes of them are half of a second cache of 512 KiB.
  private static let wideNumbers = 1 << 14

  /// `narrow(gelu(depthwise(gelu(widen(x)))))` of a map, by blocks of columns, row by row: of the wide map, which is several times
  /// as large, a thread holds what its next row needs of three rows, in the second cache.
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
                let blocks = Swift.min(outWidth, (outWidth * stride * wide + Self.wideNumbers - 1) / Self.wideNumbers)
                // Each part of a block works out anew the row above and the row below it.
                let parts = Swift.max(1, Swift.min(outHeight / 16, 4 * ComputePool.threads / blocks))
                ComputePool.forEach(blocks * parts, grain: 1) { jobs in
                  for job in jobs {
                    let (block, part) = (job / parts, job % parts)
                    let columns = block * outWidth / blocks..<(block + 1) * outWidth / blocks
                    // What the block reads of the map, with a neighbour on each side but at the map's edges.
                    let left = Swift.max(0, columns.lowerBound * stride - 1)
                    let seen = Swift.min(width, (columns.upperBound - 1) * stride + 2) - left
                    let ring = Buffer(uninitialized: 3 * seen * wide)
                    let middle = Buffer(uninitialized: columns.count * wide)
                    /// Where a row of the wide map lies while it is needed.
                    func slot(_ row: Int) -> UnsafeMutablePointer<Float> { ring.base + row % 3 * seen * wide }
                    let outRows = part * outHeight / parts..<(part + 1) * outHeight / parts
                    var next = Swift.max(0, outRows.lowerBound * stride - 1)
                    for y in outRows {
                      let last = Swift.min(height - 1, y * stride + 1)
                      while next <= last {
                        TiledProduct(
                          rows: seen, a: x + (next * width + left) * channels, strideA: channels, b: weights.widen,
                          adds: false, finish: .init(bias: widenBias.baseAddress, activation: .gelu), c: slot(next),
                          strideC: wide
                        ).run()
                        next += 1
                      }
                      var rows = (y * stride - 1...y * stride + 1).map { row -> UnsafePointer<Float>? in
                        row >= 0 && row < height ? UnsafePointer(slot(row)) : nil
                      }
                      kernels.depthwise_row(
                        &rows, seen, wide, depthwise.baseAddress, depthwiseBias.baseAddress, 3, stride,
                        left - (columns.lowerBound * stride - 1), middle.base, columns.count)
                      kernels.gelu(middle.base, columns.count * wide)
                      let target = out + (y * outWidth + columns.lowerBound) * outputs
                      if residual {
                        target.update(
                          from: x + (y * width + columns.lowerBound) * channels, count: columns.count * channels)
                      }
                      TiledProduct(
                        rows: columns.count, a: middle.base, strideA: wide, b: weights.narrow, adds: residual,
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
}
