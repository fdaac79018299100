import Masks

/// The parameters of automatic mask generation, with the reference's names and defaults. Source:
/// `automatic_mask_generator.py`, `SamAutomaticMaskGenerator.__init__`.
public struct AutomaticMaskOptions: Sendable, Equatable {
  /// Points along one side of the grid; nil if `pointGrids` gives them.
  public var pointsPerSide: Int? = 32
  /// How many points the reference decodes together. Here one after the other: the masks do not depend on it.
  public var pointsPerBatch = 64
  /// Masks must be expected to be better than this; 0 keeps all.
  public var predIoUThresh: Float = 0.88
  /// Masks must be at least this stable; 0 keeps all.
  public var stabilityScoreThresh: Float = 0.95
  /// How far the threshold is moved to measure stability, in logits.
  public var stabilityScoreOffset: Float = 1
  /// Of two masks of a crop whose boxes overlap by more than this IoU, the better one stays.
  public var boxNMSThresh: Float = 0.7
  /// Layers of crops beside the whole picture; layer n has (2ⁿ)² crops.
  public var cropNLayers = 0
  /// Like `boxNMSThresh`, between crops.
  public var cropNMSThresh: Float = 0.7
  /// Overlap of layer 1's crops, as a fraction of the picture's shorter side.
  public var cropOverlapRatio = 512.0 / 1500.0
  /// Layer n has `pointsPerSide / factorⁿ` points a side.
  public var cropNPointsDownscaleFactor = 1
  /// Explicit points for each layer, x and y in 0…1, instead of `pointsPerSide`.
  public var pointGrids: [[GridPoint]]?
  /// Holes and islands of fewer pixels are removed; 0 leaves all.
  public var minMaskRegionArea = 0

  public init() {}

  /// A position in a crop, 0…1 on each axis.
  public struct GridPoint: Sendable, Equatable {
    public var x: Double
    public var y: Double
    public init(x: Double, y: Double) { (self.x, self.y) = (x, y) }
  }

  /// The most prompts one picture may take: a larger request is a slip that would run for hours.
  public static let promptLimit = 200_000
  /// The most layers of crops.
  public static let layerLimit = 5

  /// Refuses values that mean nothing, by the reference's name for them.
  public func validate() throws(SegmentAnythingError) {
    try fraction(predIoUThresh, "pred_iou_thresh")
    try fraction(stabilityScoreThresh, "stability_score_thresh")
    try fraction(boxNMSThresh, "box_nms_thresh")
    try fraction(cropNMSThresh, "crop_nms_thresh")
    guard stabilityScoreOffset.isFinite, stabilityScoreOffset >= 0 else {
      throw .badOption(name: "stability_score_offset", reason: "is \(stabilityScoreOffset), must be 0 or more")
    }
    guard cropOverlapRatio >= 0, cropOverlapRatio < 1 else {
      throw .badOption(name: "crop_overlap_ratio", reason: "is \(cropOverlapRatio), must be at least 0 and below 1")
    }
    guard pointsPerBatch >= 1 else {
      throw .badOption(name: "points_per_batch", reason: "is \(pointsPerBatch), must be 1 or more")
    }
    guard minMaskRegionArea >= 0 else {
      throw .badOption(name: "min_mask_region_area", reason: "is \(minMaskRegionArea), must be 0 or more")
    }
    guard (0...Self.layerLimit).contains(cropNLayers) else {
      throw .badOption(name: "crop_n_layers", reason: "is \(cropNLayers), must be 0 to \(Self.layerLimit)")
    }
    guard cropNPointsDownscaleFactor >= 1 else {
      throw .badOption(
        name: "crop_n_points_downscale_factor", reason: "is \(cropNPointsDownscaleFactor), must be 1 or more")
    }
    try validateGrids()
  }

  private func validateGrids() throws(SegmentAnythingError) {
    switch (pointsPerSide, pointGrids) {
    case (nil, nil), (.some, .some):
      throw .badOption(name: "points_per_side", reason: "and point_grids: exactly one of the two must be given")
    case (.some(let side), nil):
      guard side >= 1, side <= 1024 else {
        throw .badOption(name: "points_per_side", reason: "is \(side), must be 1 to 1024")
      }
      if let layer = (0...cropNLayers).first(where: { pointsPerSide(layer: $0, of: side) < 1 }) {
        throw .badOption(
          name: "crop_n_points_downscale_factor",
          reason: "is \(cropNPointsDownscaleFactor), which leaves no point in crop layer \(layer)")
      }
    case (nil, .some(let grids)):
      guard grids.count > cropNLayers, grids.count <= Self.layerLimit + 1 else {
        throw .badOption(
          name: "point_grids", reason: "has \(grids.count) grids, crop_n_layers \(cropNLayers) needs \(cropNLayers + 1)"
        )
      }
      for (i, grid) in grids.enumerated() {
        guard !grid.isEmpty else { throw .badOption(name: "point_grids[\(i)]", reason: "has no points") }
        guard grid.allSatisfy({ (0...1).contains($0.x) && (0...1).contains($0.y) }) else {
          throw .badOption(name: "point_grids[\(i)]", reason: "has a point outside 0…1")
        }
      }
    }
    let prompts = grids().enumerated().reduce(0) { $0 + $1.element.count << (2 * $1.offset) }
    guard prompts <= Self.promptLimit else {
      throw .badOption(
        name: "points_per_side", reason: "and crop_n_layers ask for \(prompts) prompts, at most \(Self.promptLimit)")
    }
  }

  private func fraction(_ value: Float, _ name: String) throws(SegmentAnythingError) {
    guard value >= 0, value <= 1 else { throw .badOption(name: name, reason: "is \(value), must be 0 to 1") }
  }
}

extension AutomaticMaskOptions {
  /// The points of each layer of crops. Source: `amg.py`, `build_all_layer_point_grids`.
  func grids() -> [[GridPoint]] {
    if let pointGrids { return Array(pointGrids.prefix(cropNLayers + 1)) }
    let side = pointsPerSide ?? 0
    return (0...cropNLayers).map { Self.grid(pointsPerSide(layer: $0, of: side)) }
  }

  /// How many points a row of a layer's grid has; nil where the points were given.
  func rowLength(of points: [GridPoint]) -> Int? {
    pointGrids == nil ? max(1, Int(Double(points.count).squareRoot())) : nil
  }

  private func pointsPerSide(layer: Int, of side: Int) -> Int {
    var scale = 1.0
    for _ in 0..<layer { scale *= Double(cropNPointsDownscaleFactor) }
    return Int(Double(side) / scale)
  }

  /// The middles of n×n equal cells, row by row. Source: `amg.py`, `build_point_grid`.
  static func grid(_ n: Int) -> [GridPoint] {
    let offset = 1 / (2 * Double(n))
    let step = n > 1 ? (1 - offset - offset) / Double(n - 1) : 0
    let line = (0..<n).map { $0 == n - 1 && n > 1 ? 1 - offset : Double($0) * step + offset }
    return line.flatMap { y in line.map { GridPoint(x: $0, y: y) } }
  }
}
