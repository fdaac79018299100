extension BitMask {
  /// What counts as a small region: background that the mask encloses, or a piece of the mask.
  public enum RegionMode: Sendable {
    case holes
    case islands
  }

  /// Fills holes, or drops islands, of fewer than `area` pixels; pixels that touch at a corner belong together.
  ///
  /// Background at the picture's edge counts as a hole too, and if every island is small the largest stays. Source:
  /// `remove_small_regions` in SAM's `utils/amg.py`.
  ///
  /// - Returns: the mask, and whether there was a small region.
  public func removingSmallRegions(area: Int, mode: RegionMode) -> (mask: BitMask, changed: Bool) {
    let regions = Regions(of: self, value: mode == .holes ? 0 : 1)
    let small = regions.areas.map { $0 < area }
    guard small.contains(true) else { return (self, false) }
    var result = self
    switch mode {
    case .holes:
      for run in regions.runs where small[run.region] { result.fill(run, with: 1) }
    case .islands:
      let kept = small.contains(false) ? nil : regions.largest
      for run in regions.runs where small[run.region] && run.region != kept { result.fill(run, with: 0) }
    }
    return (result, true)
  }

  /// The pieces of the mask; pixels that touch at a corner belong together. In reading order of their first pixels.
  public func connectedComponents() -> [BitMask] {
    let regions = Regions(of: self, value: 1)
    var pieces = regions.areas.map { _ in BitMask(width: width, height: height) }
    for run in regions.runs { pieces[run.region].fill(run, with: 1) }
    return pieces
  }

  private mutating func fill(_ run: Regions.Run, with value: UInt8) {
    let row = run.y * width
    for x in run.x0..<run.x1 { bits[row + x] = value }
  }
}

/// The 8-connected regions of the pixels of one value.
struct Regions {
  /// Pixels x0 ..< x1 of row y.
  struct Run {
    let y: Int
    let x0: Int
    let x1: Int
    var region: Int
  }

  /// From top to bottom, from left to right.
  private(set) var runs: [Run] = []
  /// The number of pixels of each region; regions are in reading order of their first pixels.
  private(set) var areas: [Int] = []
  private let width: Int

  init(of mask: BitMask, value: UInt8) {
    width = mask.width
    // Union-find over runs: `parents[i] <= i`, the root is the first run of its region.
    var parents: [Int] = []
    func root(_ index: Int) -> Int {
      var index = index
      while parents[index] != index {
        parents[index] = parents[parents[index]]
        index = parents[index]
      }
      return index
    }
    mask.bits.withUnsafeBufferPointer { bits in
      var above = 0..<0
      for y in 0..<mask.height {
        let row = UnsafeBufferPointer(rebasing: bits[y * mask.width..<(y + 1) * mask.width])
        let start = runs.count
        var candidate = above.lowerBound
        var x = 0
        while x < row.count {
          if row[x] != value {
            x += 1
            continue
          }
          let x0 = x
          while x < row.count, row[x] == value { x += 1 }
          let index = runs.count
          runs.append(Run(y: y, x0: x0, x1: x, region: 0))
          parents.append(index)
          // Runs above that end left of the corner x0 - 1 cannot touch this run or a later one.
          while candidate < above.upperBound, runs[candidate].x1 < x0 { candidate += 1 }
          var other = candidate
          while other < above.upperBound, runs[other].x0 <= x {
            let (a, b) = (root(other), root(index))
            parents[max(a, b)] = min(a, b)
            other += 1
          }
        }
        above = start..<runs.count
      }
    }
    var numbers = [Int](repeating: -1, count: runs.count)
    for index in runs.indices {
      let first = root(index)
      if numbers[first] < 0 {
        numbers[first] = areas.count
        areas.append(0)
      }
      runs[index].region = numbers[first]
      areas[numbers[first]] += runs[index].x1 - runs[index].x0
    }
  }

  /// The largest region; of equally large ones the one that OpenCV numbers first, which is by 2×2 blocks in reading order.
  var largest: Int? {
    guard let most = areas.max() else { return nil }
    let blocksAcross = (width + 1) / 2
    return runs.filter { areas[$0.region] == most }
      .min { $0.y / 2 * blocksAcross + $0.x0 / 2 < $1.y / 2 * blocksAcross + $1.x0 / 2 }?.region
  }
}
