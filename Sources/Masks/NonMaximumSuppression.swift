/// Keeps the best box of each heap of boxes, as `torchvision.ops.nms` does on a CPU.
///
/// A box goes if its intersection over union with a kept, better one is greater than the threshold. Equal scores rank by
/// their order in the input; a score that is no number ranks first, as in torch's sort.
///
/// - Returns: the indices that stay, best first.
public func nonMaximumSuppression<Frame>(boxes: [Box<Frame>], scores: [Float], iouThreshold: Float) -> [Int] {
  precondition(boxes.count == scores.count, "\(boxes.count) boxes, \(scores.count) scores")
  let order = boxes.indices.sorted { a, b in
    if scores[a].isNaN || scores[b].isNaN {
      return scores[a].isNaN && scores[b].isNaN ? a < b : scores[a].isNaN
    }
    return scores[a] == scores[b] ? a < b : scores[a] > scores[b]
  }
  var suppressed = [Bool](repeating: false, count: boxes.count)
  var kept: [Int] = []
  for (rank, i) in order.enumerated() where !suppressed[i] {
    kept.append(i)
    for j in order[(rank + 1)...] where !suppressed[j] {
      suppressed[j] = boxes[i].iou(boxes[j]) > iouThreshold
    }
  }
  return kept
}
