import Masks

extension RequestReader {
  func requiredPrompts(_ fields: Fields) throws(WireError) -> [WirePrompt] {
    _ = try fields.required("prompts", "a list such as [{\"points\":[[x,y]],\"point_labels\":[1]}]")
    let list = try fields.list("prompts", limit: limits.prompts) ?? []
    guard !list.isEmpty else { throw .bad("prompts is empty; it has an entry for each object asked for") }
    var prompts: [WirePrompt] = []
    for (index, value) in list.enumerated() {
      prompts.append(try prompt(Fields(value, path: "prompts[\(index)]")))
    }
    return prompts
  }

  private func prompt(_ fields: Fields) throws(WireError) -> WirePrompt {
    var prompt = WirePrompt()
    let list = try fields.list("points", limit: limits.pointsPerPrompt) ?? []
    for (index, value) in list.enumerated() {
      let pair = try numbers(value, "\(fields.name("points"))[\(index)]", ["x", "y"])
      prompt.points.append(Point(x: pair[0], y: pair[1]))
    }
    if let labels = try fields.list("point_labels", limit: limits.pointsPerPrompt) {
      for (index, value) in labels.enumerated() {
        let name = "\(fields.name("point_labels"))[\(index)]"
        guard let label = value.double, label == 0 || label == 1 else {
          let given = value.double.map { "\($0)" } ?? value.kind
          throw .bad("\(name) is \(given); it is 1 for a point in the object and 0 for one outside")
        }
        prompt.pointLabels.append(Int(label))
      }
      guard prompt.pointLabels.count == prompt.points.count else {
        throw .bad(
          "\(fields.name("point_labels")) has \(prompt.pointLabels.count) entries; it has one for each of the \(prompt.points.count) points"
        )
      }
    } else {
      prompt.pointLabels = prompt.points.map { _ in 1 }
    }
    if let value = fields["box"] {
      let name = fields.name("box")
      let corners = try numbers(value, name, ["x0", "y0", "x1", "y1"])
      guard corners[0] <= corners[2], corners[1] <= corners[3] else {
        throw .bad("\(name) is \(corners); it is [x0, y0, x1, y1] with x0 ≤ x1 and y0 ≤ y1")
      }
      prompt.box = Box(x0: corners[0], y0: corners[1], x1: corners[2], y1: corners[3])
    }
    if let value = fields["mask_input"] {
      prompt.maskInputBlob = try blob(Fields(value, path: fields.name("mask_input")), "blob")
    }
    guard !prompt.points.isEmpty || prompt.box != nil || prompt.maskInputBlob != nil else {
      throw .bad("\(fields.path) is empty; it has points, a box or a mask_input")
    }
    return prompt
  }

  /// A list of finite float32 numbers, one for each name.
  private func numbers(_ value: JSONValue, _ name: String, _ parts: [String]) throws(WireError) -> [Float] {
    let form = "[\(parts.joined(separator: ", "))]"
    guard let list = value.array else { throw Fields.wrongKind(name, value, form) }
    guard list.count == parts.count else { throw .bad("\(name) has \(list.count) numbers; it is \(form)") }
    var numbers: [Float] = []
    for (index, value) in list.enumerated() {
      let number = Float(try Fields.number(value, "\(name)[\(index)]"))
      guard number.isFinite else { throw .bad("\(name)[\(index)] is too large for a float32") }
      numbers.append(number)
    }
    return numbers
  }

  /// An object that has a `segmentation` in one of the two forms of COCO RLE.
  func givenMask(_ value: JSONValue, path: String) throws(WireError) -> GivenMask {
    let fields = try Fields(value, path: path)
    let form = "{\"size\":[h,w],\"counts\":\"…\"}, COCO RLE"
    let segmentation = try Fields(fields.required("segmentation", form), path: fields.name("segmentation"))
    let sizeName = segmentation.name("size")
    let size = try Fields.list(segmentation.required("size", "[h,w]"), sizeName, limit: 2)
    guard size.count == 2 else { throw .bad("\(sizeName) has \(size.count) numbers; it is [h,w]") }
    let height = try Fields.integer(size[0], "\(sizeName)[0]", in: 1...1 << 16)
    let width = try Fields.integer(size[1], "\(sizeName)[1]", in: 1...1 << 16)
    let countsName = segmentation.name("counts")
    let value = try segmentation.required("counts", "a string as pycocotools writes it, or a list of run lengths")
    var mask: GivenMask
    switch value {
    case .string(let text): mask = GivenMask(height: height, width: width, counts: .compressed(text))
    case .array(let runs):
      var counts: [Int] = []
      for (index, run) in runs.enumerated() {
        counts.append(try Fields.integer(run, "\(countsName)[\(index)]", in: 0 ... .max))
      }
      mask = GivenMask(height: height, width: width, counts: .raw(counts))
    default: throw Fields.wrongKind(countsName, value, "a string, or a list of run lengths")
    }
    for key in GivenMask.KeptKey.allCases { mask.kept[key] = fields[key.rawValue] }
    return mask
  }

  func automaticParameters(_ fields: Fields) throws(WireError) -> AutomaticParameters {
    var parameters = AutomaticParameters()
    parameters.pointsPerSide = try fields.integer("points_per_side", in: 1...128)
    parameters.pointsPerBatch = try fields.integer("points_per_batch", in: 1...4096)
    parameters.predIoUThresh = try fields.number("pred_iou_thresh", in: 0...1)
    parameters.stabilityScoreThresh = try fields.number("stability_score_thresh", in: 0...1)
    parameters.stabilityScoreOffset = try fields.number("stability_score_offset", in: 0...1000)
    parameters.boxNMSThresh = try fields.number("box_nms_thresh", in: 0...1)
    parameters.cropNLayers = try fields.integer("crop_n_layers", in: 0...3)
    parameters.cropNMSThresh = try fields.number("crop_nms_thresh", in: 0...1)
    parameters.cropOverlapRatio = try fields.number("crop_overlap_ratio", in: 0...0.99)
    parameters.cropNPointsDownscaleFactor = try fields.integer("crop_n_points_downscale_factor", in: 1...16)
    parameters.minMaskRegionArea = try fields.integer("min_mask_region_area", in: 0...1 << 30)
    parameters.maxMasks = try fields.integer("max_masks", in: 1...65_535)
    if let layers = try fields.list("point_grids", limit: 4) {
      guard fields["points_per_side"] == nil else {
        throw .bad("points_per_side and point_grids come together; give one of them")
      }
      parameters.pointGrids = try pointGrids(layers)
    }
    return parameters
  }

  /// A list of points for each layer of crops.
  func pointGrids(_ layers: [JSONValue]) throws(WireError) -> [[Point<UnitFrame>]] {
    var grids: [[Point<UnitFrame>]] = []
    for (layer, value) in layers.enumerated() {
      let name = "point_grids[\(layer)]"
      var grid: [Point<UnitFrame>] = []
      for (index, point) in try Fields.list(value, name, limit: 128 * 128).enumerated() {
        let pair = try numbers(point, "\(name)[\(index)]", ["x", "y"])
        guard (0...1).contains(pair[0]), (0...1).contains(pair[1]) else {
          throw .bad("\(name)[\(index)] is \(pair); both numbers lie in 0…1")
        }
        grid.append(Point(x: pair[0], y: pair[1]))
      }
      grids.append(grid)
    }
    return grids
  }
}
