import Tensors

/// Logits of a stretched picture: 4h → source size at once, bicubic without antialiasing. Source: `efficient_sam.py`,
/// `EfficientSam.predict_masks`.
struct StretchedLogits: LogitRows {
  let side: Int
  private let width: Int
  private let height: Int
  private let columns: BicubicTaps
  private let rows: BicubicTaps

  init(side: Int, frame: ImageFrame) {
    self.side = side
    (width, height) = (frame.sourceWidth, frame.sourceHeight)
    columns = BicubicTaps(from: side, to: width)
    rows = BicubicTaps(from: side, to: height)
  }

  func forEachRow(_ logits: UnsafePointer<Float>, _ body: (_ y: Int, _ row: UnsafePointer<Float>) -> Void) {
    // The four grid rows around the current output row, stretched to the source's width; row y is in slot y & 3.
    let slots = UnsafeMutablePointer<Float>.allocate(capacity: 5 * width)
    defer { slots.deallocate() }
    let result = slots + 4 * width
    var held = SIMD4<Int>(repeating: -1)
    func slot(_ y: Int) -> UnsafePointer<Float> {
      let target = slots + (y & 3) * width
      if held[y & 3] != y {
        held[y & 3] = y
        stretch(logits + y * side, into: target)
      }
      return UnsafePointer(target)
    }
    for y in 0..<height {
      let taps = 4 * y..<4 * y + 4
      let lines = taps.map { slot(rows.positions[$0]) }
      let weights = taps.map { rows.weights[$0] }
      let (a, b, c, d) = (lines[0], lines[1], lines[2], lines[3])
      let (wa, wb, wc, wd) = (weights[0], weights[1], weights[2], weights[3])
      for x in 0..<width { result[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x] }
      body(y, result)
    }
  }

  /// `[side]` → `[width]`.
  private func stretch(_ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>) {
    columns.positions.withUnsafeBufferPointer { from in
      columns.weights.withUnsafeBufferPointer { weight in
        for x in 0..<width {
          let i = 4 * x
          target[x] =
            weight[i] * source[from[i]] + weight[i + 1] * source[from[i + 1]] + weight[i + 2] * source[from[i + 2]]
            + weight[i + 3] * source[from[i + 3]]
        }
      }
    }
  }
}
