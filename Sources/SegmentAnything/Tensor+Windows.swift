import Tensors

extension Tensor {
  /// Cuts a map into square windows, after zero padding at the right and the bottom where they do not divide it.
  ///
  /// - Returns: `[windows, size, size, C]` for `[H, W, C]`, windows row by row.
  func windows(of size: Int) -> Tensor {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let (down, across) = ((height + size - 1) / size, (width + size - 1) / size)
    return withUnsafe { source in
      Tensor([down * across, size, size, channels]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        if down * size != height || across * size != width { out.initialize(repeating: 0) }
        for y in 0..<height {
          for window in 0..<across {
            let x = window * size
            let target = ((y / size * across + window) * size + y % size) * size
            (to + target * channels).update(
              from: from + (y * width + x) * channels, count: min(size, width - x) * channels)
          }
        }
      }
    }
  }

  /// Puts the windows of an `[H, W, C]` map together again, without the padding.
  func joiningWindows(height: Int, width: Int) -> Tensor {
    let (size, channels) = (shape[1], shape[3])
    let across = (width + size - 1) / size
    precondition(shape[0] == across * ((height + size - 1) / size))
    return withUnsafe { source in
      Tensor([height, width, channels]) { out in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        for y in 0..<height {
          for window in 0..<across {
            let x = window * size
            let start = ((y / size * across + window) * size + y % size) * size
            (to + (y * width + x) * channels).update(
              from: from + start * channels, count: min(size, width - x) * channels)
          }
        }
      }
    }
  }
}
