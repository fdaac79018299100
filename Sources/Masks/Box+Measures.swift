extension Box {
  public var width: Float { x1 - x0 }
  public var height: Float { y1 - y0 }
  public var area: Float { width * height }

  /// Intersection over union in float32, as `torchvision.ops.box_iou`; not a number for two boxes without area.
  public func iou(_ other: Box) -> Float {
    let overlapWidth = max(0, min(x1, other.x1) - max(x0, other.x0))
    let overlapHeight = max(0, min(y1, other.y1) - max(y0, other.y0))
    let intersection = overlapWidth * overlapHeight
    return intersection / (area + other.area - intersection)
  }
}
