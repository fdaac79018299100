extension BitMask {
  /// The pixel of the mask that lies farthest from its border, where the picture's edge counts as border: a click that
  /// nobody could misread. The first in reading order of several; nil for an empty mask.
  public func innerPoint() -> (x: Int, y: Int)? {
    // One pixel of background around, so that the edge counts.
    let (w, h) = (width + 2, height + 2)
    let far = Float(w * w + h * h)
    var squared = [Float](repeating: 0, count: w * h)
    for y in 0..<height {
      for x in 0..<width where self[x, y] { squared[(y + 1) * w + x + 1] = far }
    }
    var envelope = LowerEnvelope(capacity: max(w, h))
    for x in 0..<w { envelope.transform(&squared, start: x, stride: w, count: h) }
    for y in 0..<h { envelope.transform(&squared, start: y * w, stride: 1, count: w) }
    var best = 0
    for i in squared.indices where squared[i] > squared[best] { best = i }
    return squared[best] > 0 ? (best % w - 1, best / w - 1) : nil
  }
}

/// One pass of the exact Euclidean distance transform: each value becomes the least of `value(q) + (p − q)²`, found as the
/// lower envelope of parabolas in linear time (Felzenszwalb and Huttenlocher, 2012).
private struct LowerEnvelope {
  private var line: [Float]
  /// Where each parabola of the envelope stands, and from where on it is the lowest.
  private var vertices: [Int]
  private var bounds: [Float]

  init(capacity: Int) {
    line = [Float](repeating: 0, count: capacity)
    vertices = [Int](repeating: 0, count: capacity)
    bounds = [Float](repeating: 0, count: capacity + 1)
  }

  mutating func transform(_ values: inout [Float], start: Int, stride: Int, count: Int) {
    for i in 0..<count { line[i] = values[start + i * stride] }
    var k = 0
    (vertices[0], bounds[0], bounds[1]) = (0, -.infinity, .infinity)
    for q in 1..<count {
      var crossing = self.crossing(q, vertices[k])
      while crossing <= bounds[k] {
        k -= 1
        crossing = self.crossing(q, vertices[k])
      }
      k += 1
      (vertices[k], bounds[k], bounds[k + 1]) = (q, crossing, .infinity)
    }
    k = 0
    for q in 0..<count {
      while bounds[k + 1] < Float(q) { k += 1 }
      let d = Float(q - vertices[k])
      values[start + q * stride] = d * d + line[vertices[k]]
    }
  }

  private func crossing(_ q: Int, _ v: Int) -> Float {
    ((line[q] + Float(q * q)) - (line[v] + Float(v * v))) / Float(2 * (q - v))
  }
}
