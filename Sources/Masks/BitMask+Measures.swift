extension BitMask {
  /// The smallest rectangle around the mask; x1 and y1 are the last column and row that have a pixel in them.
  ///
  /// - Returns: nil if the mask is empty. Source: `batched_mask_to_box` in SAM's `utils/amg.py`.
  public func inclusiveBox() -> Box<SourceFrame>? {
    var (x0, y0, x1, y1) = (width, -1, -1, -1)
    bits.withUnsafeBufferPointer { bits in
      for y in 0..<height {
        let row = UnsafeBufferPointer(rebasing: bits[y * width..<(y + 1) * width])
        guard let first = row.firstIndex(where: { $0 != 0 }), let last = row.lastIndex(where: { $0 != 0 }) else {
          continue
        }
        if y0 < 0 { y0 = y }
        y1 = y
        x0 = min(x0, first)
        x1 = max(x1, last)
      }
    }
    return y1 < 0 ? nil : Box(x0: Float(x0), y0: Float(y0), x1: Float(x1), y1: Float(y1))
  }

  /// Intersection over union; 0 if both are empty or their sizes differ.
  public func iou(_ other: BitMask) -> Double {
    guard width == other.width, height == other.height else { return 0 }
    var (intersection, union) = (0, 0)
    bits.withUnsafeBufferPointer { a in
      other.bits.withUnsafeBufferPointer { b in
        for i in 0..<a.count {
          intersection &+= Int(a[i] & b[i])
          union &+= Int(a[i] | b[i])
        }
      }
    }
    return union == 0 ? 0 : Double(intersection) / Double(union)
  }
}
