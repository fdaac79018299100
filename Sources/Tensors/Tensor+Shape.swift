extension Tensor {
  /// The same numbers under another shape of the same count; one length may be -1, to be worked out.
  public func reshaped(_ newShape: [Int]) -> Tensor {
    var shape = newShape
    if let free = shape.firstIndex(of: -1) {
      let known = shape.reduce(1) { $1 == -1 ? $0 : $0 * $1 }
      precondition(known > 0 && count % known == 0, "\(self.shape) does not reshape to \(newShape)")
      shape[free] = count / known
    }
    precondition(shape.reduce(1, *) == count, "\(self.shape) does not reshape to \(newShape)")
    return Tensor(shape: shape, storage: storage, offset: offset)
  }

  /// The entries `range` of the first axis, sharing memory. `[N, …]` → `[range.count, …]`.
  public func rows(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= shape[0], "rows \(range) of \(shape)")
    let stride = shape.dropFirst().reduce(1, *)
    return Tensor(
      shape: [range.count] + shape.dropFirst(), storage: storage, offset: offset + range.lowerBound * stride)
  }

  /// One entry of the first axis, without that axis. `[N, …]` → `[…]`.
  public func row(_ index: Int) -> Tensor {
    let one = rows(index..<index + 1)
    return one.reshaped(Array(shape.dropFirst()))
  }

  /// Tensors one after the other along the first axis; all other axes agree.
  public static func concatenated(_ parts: [Tensor]) -> Tensor {
    guard let first = parts.first else { preconditionFailure("nothing to concatenate") }
    let tail = Array(first.shape.dropFirst())
    for part in parts { precondition(Array(part.shape.dropFirst()) == tail, "\(part.shape) beside \(first.shape)") }
    let span = Profile.begin(.init(.copy, first.shape, bytes: 8 * parts.reduce(0) { $0 + $1.count }))
    defer { Profile.end(span) }
    return Tensor([parts.reduce(0) { $0 + $1.shape[0] }] + tail) { out in
      var position = 0
      for part in parts {
        part.withUnsafe { source in
          guard let base = source.baseAddress, let target = out.baseAddress else { return }
          (target + position).update(from: base, count: source.count)
        }
        position += part.count
      }
    }
  }

  /// The axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
  public func permuted(_ order: [Int]) -> Tensor {
    precondition(order.sorted() == Array(shape.indices), "\(order) does not order the axes of \(shape)")
    let span = Profile.begin(.moving(.copy, shape))
    defer { Profile.end(span) }
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    let newShape = order.map { shape[$0] }
    let newStrides = order.map { strides[$0] }
    return withUnsafe { source in
      Tensor(newShape) { out in
        guard let innerLength = newShape.last, let innerStride = newStrides.last else { return }
        var index = [Int](repeating: 0, count: newShape.count)
        var position = 0
        while position < out.count {
          var start = 0
          for axis in 0..<index.count - 1 { start += index[axis] * newStrides[axis] }
          for i in 0..<innerLength { out[position + i] = source[start + i * innerStride] }
          position += innerLength
          var axis = index.count - 2
          while axis >= 0 {
            index[axis] += 1
            if index[axis] < newShape[axis] { break }
            index[axis] = 0
            axis -= 1
          }
          if axis < 0 { break }
        }
      }
    }
  }

  /// `[N, M]` → `[M, N]`.
  public func transposed() -> Tensor {
    let span = Profile.begin(.moving(.copy, shape))
    defer { Profile.end(span) }
    let (rows, columns) = (shape[0], shape[1])
    return withUnsafe { source in
      Tensor([columns, rows]) { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        // Sixteen rows at a time: what is written together is a cache line.
        for top in stride(from: 0, to: rows, by: 16) {
          for x in 0..<columns {
            for y in top..<min(top + 16, rows) { to[x * rows + y] = from[y * columns + x] }
          }
        }
      }
    }
  }

  /// Channels-last to channels-first: `[H, W, C]` → `[C, H, W]`, the layout that checkpoints and traces use.
  public func channelsFirst() -> Tensor { permuted([2, 0, 1]) }

  /// Channels-first to channels-last: `[C, H, W]` → `[H, W, C]`.
  public func channelsLast() -> Tensor { permuted([1, 2, 0]) }

  /// Zero rows and columns around a map. `[H, W, C]` → `[top + H + bottom, left + W + right, C]`.
  public func padded(top: Int = 0, bottom: Int = 0, left: Int = 0, right: Int = 0) -> Tensor {
    precondition(shape.count == 3)
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let newWidth = left + width + right
    return withUnsafe { source in
      Tensor([top + height + bottom, newWidth, channels]) { out in
        out.initialize(repeating: 0)
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        for y in 0..<height {
          (to + ((top + y) * newWidth + left) * channels).update(
            from: from + y * width * channels, count: width * channels)
        }
      }
    }
  }

  /// A window of a map. `[H, W, C]` → `[rows.count, columns.count, C]`.
  public func cropped(rows: Range<Int>, columns: Range<Int>) -> Tensor {
    precondition(shape.count == 3 && rows.upperBound <= shape[0] && columns.upperBound <= shape[1])
    let (width, channels) = (shape[1], shape[2])
    return withUnsafe { source in
      Tensor([rows.count, columns.count, channels]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        for (i, y) in rows.enumerated() {
          (to + i * columns.count * channels).update(
            from: from + (y * width + columns.lowerBound) * channels, count: columns.count * channels)
        }
      }
    }
  }
}
