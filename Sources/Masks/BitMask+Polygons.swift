extension BitMask {
  /// The outlines of the mask as COCO polygons, `[x, y, x, y, …]` in source pixels.
  ///
  /// The corners are corners of pixels, so a polygon filled again, also by pycocotools, gives exactly the pixels that it
  /// came from. Pieces that touch only at a corner get a polygon each, which keeps each polygon simple. COCO polygons
  /// have no holes: holes are left out, so they come back filled.
  public func polygons() -> [[Float]] {
    var polygons: [[Float]] = []
    // Whether the upper edge of a pixel is already on an outline.
    var visited = [Bool](repeating: false, count: bits.count)
    for y in 0..<height {
      for x in 0..<width where isIn(x, y) && !isIn(x, y - 1) && !visited[y * width + x] {
        let corners = outline(fromUpperEdgeOf: x, y, &visited)
        if Self.isClockwise(corners) { polygons.append(corners.flatMap { [Float($0.x), Float($0.y)] }) }
      }
    }
    return polygons
  }

  private func isIn(_ x: Int, _ y: Int) -> Bool {
    x >= 0 && y >= 0 && x < width && y < height && bits[y * width + x] != 0
  }

  /// Walks along the edges between mask and background with the mask on the right hand, and notes where it turns.
  private func outline(
    fromUpperEdgeOf startX: Int, _ startY: Int, _ visited: inout [Bool]
  ) -> [(x: Int, y: Int)] {
    var corners: [(x: Int, y: Int)] = []
    var (x, y) = (startX, startY)
    var (dx, dy) = (1, 0)
    repeat {
      if dx == 1 { visited[y * width + x] = true }
      x += dx
      y += dy
      // The two pixels that lie ahead of the corner (x, y), on the right and on the left hand.
      let right = isIn(x + (dx + (-dy) - 1) / 2, y + (dy + dx - 1) / 2)
      let left = isIn(x + (dx + dy - 1) / 2, y + (dy - dx - 1) / 2)
      if !right {
        corners.append((x, y))
        (dx, dy) = (-dy, dx)
      } else if left {
        corners.append((x, y))
        (dx, dy) = (dy, -dx)
      }
    } while (x, y) != (startX, startY) || (dx, dy) != (1, 0)
    return corners
  }

  private static func isClockwise(_ corners: [(x: Int, y: Int)]) -> Bool {
    var doubledArea = 0
    var last = corners[corners.count - 1]
    for corner in corners {
      doubledArea += last.x * corner.y - corner.x * last.y
      last = corner
    }
    return doubledArea > 0
  }
}
