// The names are the fixtures' own, as the reference writes them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Checkpoints
import Foundation
import Imaging
import Masks
import SegmentAnything
import Tensors
import Testing

/// A model of `Tools/parity/sam.py`, `sam_hq.py` or `efficient_sam.py` with what the official code made of it.
struct Golden: Sendable, CustomTestStringConvertible {
  let name: String
  let model: SegmentAnything
  let arrays: any Checkpoint
  let record: Record

  var testDescription: String { name }

  static let names = ["vit", "tinyvit", "vit_hq", "tinyvit_hq", "efficientsam"]
  static let all: [Golden] = names.map { name in
    do {
      return Golden(
        name: name, model: try SegmentAnything(openCheckpoint(fixture("\(name).safetensors")), imageSize: 256),
        arrays: try openCheckpoint(fixture("\(name)-goldens.safetensors")),
        record: try JSONDecoder().decode(Record.self, from: Data(contentsOf: URL(filePath: fixture("\(name).json")))))
    } catch {
      fatalError("fixtures of \(name): \(error)")
    }
  }

  static func fixture(_ file: String) -> String {
    (Bundle.module.resourcePath ?? ".") + "/Fixtures/" + file
  }

  static func picture(_ name: String) throws -> Image { try Image.load(path: fixture("\(name).png"), limits: .default) }
}

/// `vit.json` and the like.
struct Record: Decodable, Sendable {
  struct Case: Decodable, Sendable {
    let picture: String
    let name: String
    let points: [[Float]]?
    let labels: [Int]?
    let box: [Float]?
    let mask: Bool?
    let multimask: Bool?
    let masks: [String]
    let stability: [Float]

    func prompt(_ arrays: any Checkpoint) throws -> Prompt {
      Prompt(
        points: (points ?? []).map { Point(x: $0[0], y: $0[1]) }, pointLabels: labels ?? [],
        box: box.map { Box(x0: $0[0], y0: $0[1], x1: $0[2], y1: $0[3]) },
        maskInput: mask == true ? try arrays.tensor("\(picture).mask_input").values : nil)
    }
  }

  struct Automatic: Decodable, Sendable {
    struct Options: Decodable, Sendable {
      let points_per_side: Int?
      let points_per_batch: Int?
      let pred_iou_thresh: Float?
      let stability_score_thresh: Float?
      let stability_score_offset: Float?
      let box_nms_thresh: Float?
      let crop_n_layers: Int?
      let crop_nms_thresh: Float?
      let crop_overlap_ratio: Double?
      let crop_n_points_downscale_factor: Int?
      let point_grids: [[[Double]]]?
      let min_mask_region_area: Int?

      var options: AutomaticMaskOptions {
        var options = AutomaticMaskOptions()
        options.pointGrids = point_grids?.map { $0.map { .init(x: $0[0], y: $0[1]) } }
        options.pointsPerSide = point_grids == nil ? points_per_side ?? 32 : nil
        options.pointsPerBatch = points_per_batch ?? options.pointsPerBatch
        options.predIoUThresh = pred_iou_thresh ?? options.predIoUThresh
        options.stabilityScoreThresh = stability_score_thresh ?? options.stabilityScoreThresh
        options.stabilityScoreOffset = stability_score_offset ?? options.stabilityScoreOffset
        options.boxNMSThresh = box_nms_thresh ?? options.boxNMSThresh
        options.cropNLayers = crop_n_layers ?? options.cropNLayers
        options.cropNMSThresh = crop_nms_thresh ?? options.cropNMSThresh
        options.cropOverlapRatio = crop_overlap_ratio ?? options.cropOverlapRatio
        options.cropNPointsDownscaleFactor = crop_n_points_downscale_factor ?? options.cropNPointsDownscaleFactor
        options.minMaskRegionArea = min_mask_region_area ?? options.minMaskRegionArea
        return options
      }
    }
    struct Mask: Decodable, Sendable {
      struct Segmentation: Decodable, Sendable {
        let size: [Int]
        let counts: String
      }
      let segmentation: Segmentation
      let area: Int
      let bbox: [Float]
      let predicted_iou: Float
      let point_coords: [[Float]]
      let stability_score: Float
      let crop_box: [Int]
    }
    let picture: String
    let options: Options
    let masks: [Mask]
  }

  let cases: [Case]
  let automatic: [Automatic]
}

/// The largest difference, as a part of the largest expected number, and where it is.
func difference(_ actual: Tensor, _ expected: Tensor) -> (relative: Float, index: Int) {
  guard actual.count == expected.count else { return (.infinity, -1) }
  let (a, e) = (actual.values, expected.values)
  let scale = max(e.reduce(0) { max($0, abs($1)) }, 1e-12)
  var worst: (relative: Float, index: Int) = (0, 0)
  for i in a.indices {
    let gap = abs(a[i] - e[i]) / scale
    if !(gap <= worst.relative) { worst = (gap, i) }
  }
  return worst
}

func expectClose(
  _ actual: Tensor, _ expected: Tensor, _ what: String, within tolerance: Float = 1e-4,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (relative, index) = difference(actual, expected)
  let message: Comment = "\(what) \(actual.shape) against \(expected.shape): off by \(relative) of scale at \(index)"
  if ProcessInfo.processInfo.environment["PANDION_TEST_VERBOSE"] != nil { print(message.rawValue) }
  #expect(relative <= tolerance, message, sourceLocation: sourceLocation)
}
