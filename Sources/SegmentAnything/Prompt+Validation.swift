import Masks

/// The most points one prompt may have: each is a token of the decoder's attention.
package let promptPointLimit = 1024

extension Prompt {
  /// Refuses what SAM would quietly make nonsense of.
  ///
  /// - Parameters:
  ///   - index: which of the caller's prompts this is, for the error.
  ///   - maskSide: the side of the low-resolution grid, 4h; nil where the model takes no masks.
  ///   - pointLimit: the most points the model takes.
  func validate(
    index: Int, width: Int, height: Int, maskSide: Int?, pointLimit: Int
  ) throws(SegmentAnythingError) {
    if maskInput != nil, maskSide == nil { throw .maskInputRefused(prompt: index) }
    if points.isEmpty && box == nil && maskInput == nil {
      // Labels without points are a slip of their own.
      if !pointLabels.isEmpty { throw .labelCount(prompt: index, points: 0, labels: pointLabels.count) }
      throw .emptyPrompt(prompt: index)
    }
    try validatePoints(index: index, width: width, height: height, limit: pointLimit)
    if let box {
      let corners = [box.x0, box.y0, box.x1, box.y1]
      guard corners.allSatisfy(\.isFinite) else { throw .boxNotFinite(prompt: index) }
      guard box.x0 <= box.x1, box.y0 <= box.y1 else { throw .boxInverted(prompt: index, box: corners) }
      guard box.x0 >= 0, box.y0 >= 0, box.x1 <= Float(width), box.y1 <= Float(height) else {
        throw .boxOutside(prompt: index, box: corners, width: width, height: height)
      }
    }
    if let maskInput, let maskSide {
      guard maskInput.count == maskSide * maskSide else {
        throw .maskInputLength(prompt: index, expected: maskSide * maskSide, actual: maskInput.count)
      }
      if let bad = maskInput.firstIndex(where: { !$0.isFinite }) {
        throw .maskInputNotFinite(prompt: index, index: bad)
      }
    }
  }

  private func validatePoints(index: Int, width: Int, height: Int, limit: Int) throws(SegmentAnythingError) {
    guard points.count <= limit else {
      throw .tooManyPoints(prompt: index, count: points.count, limit: limit)
    }
    guard points.count == pointLabels.count else {
      throw .labelCount(prompt: index, points: points.count, labels: pointLabels.count)
    }
    for (i, (point, label)) in zip(points, pointLabels).enumerated() {
      guard point.x.isFinite, point.y.isFinite else { throw .pointNotFinite(prompt: index, index: i) }
      guard point.x >= 0, point.y >= 0, point.x < Float(width), point.y < Float(height) else {
        throw .pointOutside(prompt: index, index: i, x: point.x, y: point.y, width: width, height: height)
      }
      guard label == 0 || label == 1 else { throw .badLabel(prompt: index, index: i, label: label) }
    }
  }
}
