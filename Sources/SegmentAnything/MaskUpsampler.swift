import Masks
import Tensors

/// Brings low-resolution logits to the picture's size, row by row and without storing them, and cuts masks out of them.
struct MaskUpsampler: Sendable {
  let frame: ImageFrame
  /// The side of the low-resolution grid, 4h.
  let side: Int
  private let rows: any LogitRows

  init(side: Int, frame: ImageFrame) {
    (self.side, self.frame) = (side, frame)
    rows =
      switch frame.fit {
      case .padded: PaddedLogits(side: side, frame: frame)
      case .stretched: StretchedLogits(side: side, frame: frame)
      }
  }

  /// The mask of logits above 0, and how little it changes when that threshold moves.
  ///
  /// - Parameters:
  ///   - logits: `[side, side]`.
  ///   - offset: how far the threshold is moved for the stability, up and down. Source: `amg.py`,
  ///     `calculate_stability_score`; 0 where both masks are empty, which the reference leaves undefined.
  func threshold(_ logits: UnsafePointer<Float>, offset: Float) -> Cut {
    var mask = BitMask(width: frame.sourceWidth, height: frame.sourceHeight)
    let width = frame.sourceWidth
    var (inner, outer) = (0, 0)
    var (x0, y0, x1, y1) = (width, -1, -1, -1)
    mask.bits.withUnsafeMutableBufferPointer { bits in
      guard let bits = bits.baseAddress else { return }
      rows.forEachRow(logits) { y, row in
        let target = bits + y * width
        let cut = LogitRow.cut(row, offset: offset, width, into: target)
        inner += cut.inner
        outer += cut.outer
        guard cut.inside > 0 else { return }
        if y0 < 0 { y0 = y }
        y1 = y
        // Only what lies outside of the box so far can widen it.
        if let first = (0..<x0).first(where: { target[$0] != 0 }) { x0 = first }
        if let last = (x1 + 1..<width).last(where: { target[$0] != 0 }) { x1 = last }
      }
    }
    let box: Box<SourceFrame>? = y1 < 0 ? nil : Box(x0: Float(x0), y0: Float(y0), x1: Float(x1), y1: Float(y1))
    return Cut(mask: mask, box: box, stability: outer > 0 ? Float(inner) / Float(outer) : 0)
  }

  /// A mask cut out of logits.
  struct Cut {
    let mask: BitMask
    /// Around the mask, first and last pixel; nil where it is empty.
    let box: Box<SourceFrame>?
    let stability: Float
  }
}

/// Low-resolution logits at the picture's size.
protocol LogitRows: Sendable {
  /// Calls `body` with each row of upsampled logits, `[sourceWidth]`, from the top down.
  ///
  /// - Parameter logits: `[side, side]`.
  func forEachRow(_ logits: UnsafePointer<Float>, _ body: (_ y: Int, _ row: UnsafePointer<Float>) -> Void)
}
