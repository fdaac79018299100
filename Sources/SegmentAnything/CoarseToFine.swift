import Masks

/// The order in which points are looked at, so that whoever watches sees a rough picture early. The list in the end does not
/// depend on it: suppression runs over all candidates in the order of the points.
enum CoarseToFine {
  /// - Parameters:
  ///   - count: how many points there are.
  ///   - side: points in a row of the grid; nil where they make no grid.
  /// - Returns: the points' indices in passes: every fourth row and column, every second, the rest.
  static func passes(_ count: Int, side: Int?) -> [[Int]] {
    var passes = [[Int]](repeating: [], count: 3)
    for index in 0..<count {
      // Every fourth from the third on: the middle of what it stands for, more or less.
      let (row, column) = side.map { (index / $0, index % $0) } ?? (index / 4 + 2, index % 4 + 2)
      let pass = row % 4 == 2 && column % 4 == 2 ? 0 : row % 2 == 0 && column % 2 == 0 ? 1 : 2
      passes[pass].append(index)
    }
    return passes.filter { !$0.isEmpty }
  }
}

/// Tells of masks while more are looked for: of those found since the last time the best, without what coincides with one that
/// was told of before.
struct ProvisionalMasks {
  private let tell: ([AutomaticMask]) -> Void
  private let iouThreshold: Float
  /// So many points lie between two times, but for the end of a pass.
  private let interval: Int
  private var told: [Box<SourceFrame>] = []
  private var fresh: [AutomaticMask] = []
  private var lastTold = 0

  /// - Parameter points: how many there are in all.
  init(points: Int, iouThreshold: Float, tell: @escaping ([AutomaticMask]) -> Void) {
    (self.tell, self.iouThreshold) = (tell, iouThreshold)
    interval = max(1, points / 8)
  }

  /// - Parameter done: how many points have been looked at.
  mutating func add(_ masks: some Sequence<AutomaticMask>, done: Int) {
    fresh += masks
    if done - lastTold >= interval { tellNow(done: done) }
  }

  mutating func tellNow(done: Int) {
    lastTold = done
    let best = fresh.suppressed(by: fresh.map(\.predictedIoU), iouThreshold).filter { mask in
      !told.contains { $0.iou(mask.box) > iouThreshold }
    }
    fresh = []
    guard !best.isEmpty else { return }
    told += best.map(\.box)
    tell(best)
  }
}
