import Masks

/// For each mask the smallest larger one that holds at least a fraction of it: the whole that it is a part of.
///
/// - Parameter pause: called before each mask.
/// - Returns: an index for each mask, or nil where no mask holds it. Of equally small ones the first.
func containingMasks(
  _ masks: [RunLengthEncoding], fraction: Double = 0.9, pause: (Int) throws -> Void = { _ in }
) rethrows -> [Int?] {
  let areas = masks.map(\.area)
  let boxes = masks.map(\.bbox)
  let bySize = masks.indices.sorted { areas[$0] == areas[$1] ? $0 < $1 : areas[$0] < areas[$1] }
  return try masks.indices.map { part in
    try pause(part)
    guard areas[part] > 0 else { return nil }
    let needed = fraction * Double(areas[part])
    return bySize.first { whole in
      guard areas[whole] > areas[part] else { return false }
      // Boxes that share too little cannot hold masks that share more.
      let (a, b) = (boxes[part], boxes[whole])
      let width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
      let height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
      guard width > 0, height > 0, Double(width) * Double(height) >= needed else { return false }
      return Double(masks[part].intersection(masks[whole])) >= needed
    }
  }
}

extension RunLengthEncoding {
  /// x, y, width and height with SAM's width x1 − x0, of the first and the last pixel; all zero for an empty mask.
  var samBox: [Int] {
    let box = bbox
    return [box.x, box.y, max(0, box.width - 1), max(0, box.height - 1)]
  }
}
