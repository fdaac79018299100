extension RunLengthEncoding {
  /// The number of pixels in the mask.
  public var area: Int {
    stride(from: 1, to: counts.count, by: 2).reduce(0) { $0 + counts[$1] }
  }

  /// The smallest rectangle around the mask, in pixels; all zero for an empty mask. As pycocotools' `toBbox`, but empty
  /// runs are passed over, where that reads them as pixels.
  public var bbox: (x: Int, y: Int, width: Int, height: Int) {
    var (x0, y0, x1, y1) = (width, height, -1, -1)
    var position = 0
    for (index, run) in counts.enumerated() {
      defer { position += run }
      guard index % 2 == 1, run > 0 else { continue }
      let (first, last) = (position, position + run - 1)
      x0 = min(x0, first / height)
      x1 = max(x1, last / height)
      if first / height == last / height {
        y0 = min(y0, first % height)
        y1 = max(y1, last % height)
      } else {
        (y0, y1) = (0, height - 1)
      }
    }
    return x1 < 0 ? (0, 0, 0, 0) : (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
  }

  /// Intersection over union, without decoding; 0 if both are empty or their sizes differ.
  public static func iou(_ a: Self, _ b: Self) -> Double {
    let intersection = a.intersection(b)
    let union = a.area + b.area - intersection
    return union == 0 ? 0 : Double(intersection) / Double(union)
  }

  /// The number of pixels in both masks, without decoding; 0 if their sizes differ.
  public func intersection(_ other: Self) -> Int {
    let (a, b) = (self, other)
    guard a.height == b.height, a.width == b.width else { return 0 }
    var intersection = 0
    var (i, j) = (0, 0)
    var (endA, endB) = (a.counts.first ?? 0, b.counts.first ?? 0)
    var position = 0
    while i < a.counts.count, j < b.counts.count {
      let end = min(endA, endB)
      if i % 2 == 1, j % 2 == 1 { intersection += end - position }
      position = end
      if endA == end {
        i += 1
        if i < a.counts.count { endA += a.counts[i] }
      }
      if endB == end {
        j += 1
        if j < b.counts.count { endB += b.counts[j] }
      }
    }
    return intersection
  }
}
