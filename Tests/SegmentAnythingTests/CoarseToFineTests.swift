import Imaging
import Masks
import Testing

@testable import SegmentAnything

/// Masks on the way change nothing of the list in the end.
struct CoarseToFineTests {
  @Test(arguments: [1, 2, 3, 4, 5, 6, 32])
  func everyPointComesOnceAndAFewFirst(side: Int) {
    for grid in [side, nil] {
      let passes = CoarseToFine.passes(side * side, side: grid)
      #expect(passes.joined().sorted() == Array(0..<side * side))
      #expect(passes.allSatisfy { !$0.isEmpty && $0 == $0.sorted() })
      #expect(side < 3 || 2 * passes[0].count < side * side)
    }
  }

  @Test func theFirstPassCoversThePicture() {
    let first = CoarseToFine.passes(32 * 32, side: 32)[0]
    #expect(first.count == 64)
    #expect(Set(first.map { $0 / 32 }) == Set(stride(from: 2, to: 32, by: 4)))
    #expect(Set(first.map { $0 % 32 }) == Set(stride(from: 2, to: 32, by: 4)))
  }

  /// Every mask counts, since what random weights find is hardly ever good.
  private static var options: AutomaticMaskOptions {
    var options = AutomaticMaskOptions()
    (options.pointsPerSide, options.predIoUThresh, options.stabilityScoreThresh) = (8, 0, 0)
    return options
  }

  @Test(arguments: Golden.all)
  func theListIsTheSameAndMasksComeEarly(golden: Golden) throws {
    let image = try Golden.picture("landscape")
    var plain = Self.options
    var variants = [plain]
    plain.cropNLayers = 1
    plain.minMaskRegionArea = 20
    variants.append(plain)
    plain.pointGrids = (0..<2).map { _ in AutomaticMaskOptions.grid(5) }
    plain.pointsPerSide = nil
    variants.append(plain)
    for options in variants {
      let generator = try AutomaticMaskGenerator(golden.model, options)
      var (progress, firstAt, total) = (0, Int?.none, 0)
      var told: [[AutomaticMask]] = []
      let watched = try generator.generate(image) {
        (progress, total) = ($0, $1)
        return true
      } watch: { masks in
        // As `proceed` last told, before the batch that these came from.
        firstAt = firstAt ?? progress
        told.append(masks)
      }
      #expect(watched == (try generator.generate(image)))
      #expect(!watched.isEmpty && !told.isEmpty && told.allSatisfy { !$0.isEmpty })
      #expect(firstAt.map { 2 * $0 < total } == true)
      // Each time only what is new.
      let all = Array(told.joined())
      for (index, mask) in all.enumerated() {
        #expect(!all[..<index].contains { $0.box.iou(mask.box) > options.boxNMSThresh })
      }
    }
  }

  @Test func itEndsWhereverItIsCancelled() throws {
    let golden = try #require(Golden.all.first)
    let image = try Golden.picture("landscape")
    var isWanted = true
    let generator = try AutomaticMaskGenerator(golden.model, Self.options)
    var asked = 0
    #expect(throws: SegmentAnythingError.cancelled) {
      _ = try generator.generate(image) { _, _ in
        asked += isWanted ? 0 : 1
        return isWanted
      } watch: { _ in
        isWanted = false
      }
    }
    #expect(asked == 1)
  }
}
