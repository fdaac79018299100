import Foundation
import Masks
import Testing

@testable import SegmentAnything

struct AutomaticMaskOptionsTests {
  private func refusal(_ change: (inout AutomaticMaskOptions) -> Void) -> String? {
    var options = AutomaticMaskOptions()
    change(&options)
    do {
      try options.validate()
      return nil
    } catch {
      if case .badOption(let name, _) = error { return name }
      return "\(error)"
    }
  }

  @Test func eachIsRefusedByName() {
    #expect(refusal { _ in } == nil)
    #expect(refusal { $0.pointsPerSide = 0 } == "points_per_side")
    #expect(refusal { $0.pointsPerSide = nil } == "points_per_side")
    #expect(refusal { $0.pointGrids = [[.init(x: 0, y: 0)]] } == "points_per_side")
    #expect(refusal { ($0.pointsPerSide, $0.cropNLayers) = (512, 5) } == "points_per_side")
    #expect(refusal { $0.pointsPerBatch = 0 } == "points_per_batch")
    #expect(refusal { $0.predIoUThresh = .nan } == "pred_iou_thresh")
    #expect(refusal { $0.stabilityScoreThresh = 95 } == "stability_score_thresh")
    #expect(refusal { $0.stabilityScoreOffset = -1 } == "stability_score_offset")
    #expect(refusal { $0.boxNMSThresh = 1.1 } == "box_nms_thresh")
    #expect(refusal { $0.cropNMSThresh = -0.1 } == "crop_nms_thresh")
    #expect(refusal { $0.cropNLayers = -1 } == "crop_n_layers")
    #expect(refusal { $0.cropOverlapRatio = .nan } == "crop_overlap_ratio")
    #expect(refusal { $0.cropNPointsDownscaleFactor = 0 } == "crop_n_points_downscale_factor")
    #expect(
      refusal { ($0.pointsPerSide, $0.cropNLayers, $0.cropNPointsDownscaleFactor) = (3, 2, 2) }
        == "crop_n_points_downscale_factor")
    #expect(refusal { ($0.pointsPerSide, $0.pointGrids) = (nil, [[]]) } == "point_grids[0]")
    #expect(refusal { ($0.pointsPerSide, $0.pointGrids) = (nil, [[.init(x: 2, y: 0)]]) } == "point_grids[0]")
    #expect(
      refusal { ($0.pointsPerSide, $0.pointGrids, $0.cropNLayers) = (nil, [[.init(x: 0, y: 0)]], 1) } == "point_grids")
    #expect(refusal { $0.minMaskRegionArea = -1 } == "min_mask_region_area")
  }

  @Test func stopsWhenAsked() throws {
    let generator = try AutomaticMaskGenerator(Golden.all[1].model)
    #expect(throws: SegmentAnythingError.cancelled) {
      try generator.generate(try Golden.picture("portrait")) { done, total in
        #expect(total == 1024)
        return done < 64
      }
    }
  }

  /// `crops.json`: crop boxes, point grids and cut-off objects of `amg.py`.
  private struct Geometry: Decodable {
    struct Crops: Decodable {
      let width, height, layers: Int
      let ratio: Double
      let boxes: [[Int]]
      let layer: [Int]
      let objects: [[[Float]]]
      let cut: [[Bool]]
    }
    struct Grids: Decodable {
      let side, layers, factor: Int
      let grids: [[[Double]]]
    }
    let crops: [Crops]
    let grids: [Grids]
  }

  @Test func cropsAndGridsAreTheReferences() throws {
    let geometry = try JSONDecoder().decode(
      Geometry.self, from: Data(contentsOf: URL(filePath: Golden.fixture("crops.json"))))
    for expected in geometry.crops {
      let crops = CropBox.all(
        width: expected.width, height: expected.height, layers: expected.layers, overlapRatio: expected.ratio)
      #expect(crops.map { [$0.box.x0, $0.box.y0, $0.box.x1, $0.box.y1] } == expected.boxes)
      #expect(crops.map(\.layer) == expected.layer)
      for (i, crop) in crops.enumerated() {
        let cut = expected.objects[i].map { object in
          crop.box.cutsOff(
            Box(x0: object[0], y0: object[1], x1: object[2], y1: object[3]), width: expected.width,
            height: expected.height)
        }
        #expect(cut == expected.cut[i], "crop \(i) of \(expected.width)×\(expected.height)")
      }
    }
    for expected in geometry.grids {
      var options = AutomaticMaskOptions()
      (options.pointsPerSide, options.cropNLayers) = (expected.side, expected.layers)
      options.cropNPointsDownscaleFactor = expected.factor
      #expect(options.grids().map { $0.map { [$0.x, $0.y] } } == expected.grids)
    }
  }
}
