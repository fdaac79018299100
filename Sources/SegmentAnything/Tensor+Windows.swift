import Tensors

extension Tensor {
  /// Adds to a map, window by window, what `body` makes of them, in place. Each is worked out by one thread, in whose caches all of it
  /// stays.
  ///
  /// Official code pads the map until windows divide it; here those at the right and the bottom are cut, since most of what
  /// padding would yield is thrown away.
  ///
  /// - Parameters:
  ///   - size: of a window's side.
  ///   - body: of some neighbours of the same shape, `[n, h, w, C]`, h and w at most `size`; returns as many numbers.
  mutating func addToWindows(of size: Int, _ body: (Tensor) -> Tensor) {
    let (height, width, channels) = (shape[0], shape[1], shape[2])
    let runs = WindowRun.all(height: height, width: width, size: size)
    withUnsafeMutable { map in
      guard let map = map.baseAddress else { return }
      ComputePool.forEachAlone(runs.count) { i in
        let run = runs[i]
        let tokens = Tensor([run.count, run.height, run.width, channels]) { tokens in
          guard let tokens = tokens.baseAddress else { return }
          run.forEachRow(of: width) { row, place in
            (tokens + row * run.width * channels).update(from: map + place * channels, count: run.width * channels)
          }
        }
        body(tokens).withUnsafe { update in
          guard let update = update.baseAddress else { return }
          run.forEachRow(of: width) { row, place in
            let (from, to) = (update + row * run.width * channels, map + place * channels)
            for i in 0..<run.width * channels { to[i] += from[i] }
          }
        }
      }
    }
  }

  /// Windows `[n, h, w, C]` as the official padding has them, `[n, size, size, C]`.
  ///
  /// - Parameter token: what stands where nothing is, `[C]`; zeros if nil.
  func padded(to size: Int, with token: Tensor?) -> Tensor {
    let (count, height, width, channels) = (shape[0], shape[1], shape[2], shape[3])
    guard height < size || width < size else { return self }
    let token = token ?? Tensor([channels])
    return withUnsafe { source in
      token.withUnsafe { token in
        Tensor([count, size, size, channels]) { out in
          guard let from = source.baseAddress, let token = token.baseAddress, let to = out.baseAddress else { return }
          for row in 0..<count * size {
            let (window, y, target) = (row / size, row % size, to + row * size * channels)
            let kept = y < height ? width : 0
            target.update(from: from + (window * height + y) * width * channels, count: kept * channels)
            for x in kept..<size { (target + x * channels).update(from: token, count: channels) }
          }
        }
      }
    }
  }
}

/// Windows beside each other, all of one shape.
private struct WindowRun {
  let y: Int
  let x: Int
  let height: Int
  let width: Int
  /// How many, each `width` to the right of the last.
  let count: Int

  /// Enough tokens for products to be worth their start.
  private static let tokens = 196

  static func all(height: Int, width: Int, size: Int) -> [WindowRun] {
    let most = max(1, tokens / (size * size))
    var runs: [WindowRun] = []
    for y in stride(from: 0, to: height, by: size) {
      let down = min(size, height - y)
      for x in stride(from: 0, to: width, by: most * size) {
        let whole = min(most, (width - x) / size)
        if whole > 0 { runs.append(WindowRun(y: y, x: x, height: down, width: size, count: whole)) }
        let rest = min(width, x + most * size) - (x + whole * size)
        if rest > 0 { runs.append(WindowRun(y: y, x: x + whole * size, height: down, width: rest, count: 1)) }
      }
    }
    return runs
  }

  /// Calls with each row of each window, counted from 0, and the cell of a map where it begins.
  func forEachRow(of mapWidth: Int, _ body: (_ row: Int, _ place: Int) -> Void) {
    for window in 0..<count {
      for row in 0..<height { body(window * height + row, (y + row) * mapWidth + x + window * width) }
    }
  }
}
