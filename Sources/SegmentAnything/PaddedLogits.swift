import Tensors

/// Logits of a padded picture: 4h → S, the padding cut off, → source size, both bilinear without antialiasing. Source:
/// `sam.py`, `postprocess_masks`.
struct PaddedLogits: LogitRows {
  let frame: ImageFrame
  /// The side of the low-resolution grid, 4h.
  let side: Int
  /// From the grid to the model's frame; only its first `inputWidth`, `inputHeight` positions are wanted.
  private let toModel: BilinearTaps
  /// From the model's frame, less the padding, to the picture.
  private let toColumns: BilinearTaps
  private let toRows: BilinearTaps

  init(side: Int, frame: ImageFrame) {
    (self.side, self.frame) = (side, frame)
    toModel = BilinearTaps(from: side, to: frame.imageSize)
    toColumns = BilinearTaps(from: frame.inputWidth, to: frame.sourceWidth)
    toRows = BilinearTaps(from: frame.inputHeight, to: frame.sourceHeight)
  }

  func forEachRow(_ logits: UnsafePointer<Float>, _ body: (_ y: Int, _ row: UnsafePointer<Float>) -> Void) {
    let (inputWidth, width) = (frame.inputWidth, frame.sourceWidth)
    // Every row of the grid, stretched to the model's width.
    let neededRows = toModel.high[frame.inputHeight - 1] + 1
    let stretched = UnsafeMutablePointer<Float>.allocate(capacity: neededRows * inputWidth + inputWidth + 3 * width)
    defer { stretched.deallocate() }
    for row in 0..<neededRows {
      LogitRow.stretch(logits + row * side, toModel, inputWidth, into: stretched + row * inputWidth)
    }
    let modelRow = stretched + neededRows * inputWidth
    // The two model rows around the current output row, stretched to the source's width; row y is in slot y & 1.
    let slots = modelRow + inputWidth
    var held = (even: -1, odd: -1)
    func slot(_ y: Int) -> UnsafeMutablePointer<Float> {
      let target = slots + (y & 1) * width
      if (y & 1 == 0 ? held.even : held.odd) == y { return target }
      if y & 1 == 0 { held.even = y } else { held.odd = y }
      LogitRow.blend(
        stretched + toModel.low[y] * inputWidth, stretched + toModel.high[y] * inputWidth, toModel.fraction[y],
        inputWidth, into: modelRow)
      LogitRow.stretch(modelRow, toColumns, width, into: target)
      return target
    }
    let result = slots + 2 * width
    for y in 0..<frame.sourceHeight {
      let (low, high) = (slot(toRows.low[y]), slot(toRows.high[y]))
      LogitRow.blend(low, high, toRows.fraction[y], width, into: result)
      body(y, result)
    }
  }
}
