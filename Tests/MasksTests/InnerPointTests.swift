import Testing

@testable import Masks

@Suite struct InnerPointTests {
  /// The squared distance to the nearest pixel outside, the picture's surroundings included, by trying them all.
  private func distance(_ mask: BitMask, _ x: Int, _ y: Int) -> Int {
    var best = Int.max
    for v in -1...mask.height {
      for u in -1...mask.width {
        let inside = (0..<mask.width).contains(u) && (0..<mask.height).contains(v) && mask[u, v]
        if !inside { best = min(best, (u - x) * (u - x) + (v - y) * (v - y)) }
      }
    }
    return best
  }

  @Test func isTheFarthestFromTheBorder() throws {
    var state: UInt64 = 3
    func next() -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33)
    }
    for _ in 0..<60 {
      var mask = BitMask(width: 1 + next() % 17, height: 1 + next() % 13)
      // Blocks rather than noise, so that distances differ.
      for _ in 0..<4 {
        let (x0, y0) = (next() % mask.width, next() % mask.height)
        for y in y0..<min(mask.height, y0 + 1 + next() % 9) {
          for x in x0..<min(mask.width, x0 + 1 + next() % 9) { mask[x, y] = true }
        }
      }
      let found = try #require(mask.innerPoint())
      #expect(mask[found.x, found.y])
      var best = 0
      for y in 0..<mask.height { for x in 0..<mask.width where mask[x, y] { best = max(best, distance(mask, x, y)) } }
      #expect(distance(mask, found.x, found.y) == best)
    }
  }

  @Test func thereIsNoneInAnEmptyMask() { #expect(BitMask(width: 5, height: 4).innerPoint() == nil) }
}
