import Masks

extension Request {
  /// The header that says this; reading it gives the same request again.
  public var header: JSONValue {
    let fields: [(String, JSONValue?)] = [
      ("v", .integer(Self.version)), ("op", .string(operation.name)), ("id", id.map { .string($0) }),
      ("deadline_ms", deadlineMilliseconds.map { .integer($0) }),
      ("priority", priority == 0 ? nil : .integer(priority)), ("stamp", stamp),
      ("frame_id", frameID.map { .string($0) }), ("stream", stream ? .bool(true) : nil),
      ("trace", trace.map { .string($0) }), ("image", operation.image?.json),
    ]
    return JSONValue(entries: fields + operation.fields)
  }
}

extension Request.Operation {
  /// The fields beside `image`.
  fileprivate var fields: [(String, JSONValue?)] {
    switch self {
    case .hello, .models, .putImage, .health, .stats, .drain: []
    case .cancel(let request): [("request", .string(request))]
    case .segment(let request):
      [
        ("prompts", .array(request.prompts.map(\.json))), ("multimask", .bool(request.multimask)),
        ("masks", .string(request.masks.rawValue)), ("logits", request.logits ? .bool(true) : nil),
      ]
    case .auto(let request): request.parameters.fields + [("masks", .string(request.masks.rawValue))]
    case .label(let request):
      request.regions.fields(request.masks) + [
        ("style", .string(request.style.rawValue)), ("question", request.question.map { .string($0) }),
        ("history", request.history.isEmpty ? nil : .array(request.history.map(\.json))),
        ("vocabulary", request.vocabulary.map { .array($0.map { .string($0) }) }),
        ("max_tokens", request.maxTokens.map { .integer($0) }),
        ("temperature", request.temperature.map { .number($0) }), ("top_p", request.topP.map { .number($0) }),
        ("seed", request.seed.map { .integer($0) }),
      ]
    }
  }
}

extension LabelRequest.Turn {
  fileprivate var json: JSONValue { .array([.string(question), .string(answer)]) }
}

extension LabelRequest.Regions {
  fileprivate func fields(_ encoding: MaskEncoding) -> [(String, JSONValue?)] {
    switch self {
    case .prompts(let prompts, let multimask):
      [
        ("prompts", .array(prompts.map(\.json))), ("multimask", .bool(multimask)),
        ("masks", .string(encoding.rawValue)),
      ]
    case .masks(let masks):
      [("masks", .array(masks.map(\.json))), ("mask_encoding", .string(encoding.rawValue))]
    case .auto(let parameters):
      [("auto", .bool(true))] + parameters.fields + [("masks", .string(encoding.rawValue))]
    }
  }
}

extension ImageReference {
  fileprivate var json: JSONValue {
    switch self {
    case .handle(let handle): JSONValue(entries: [("handle", .string(handle))])
    case .blob(let index, let encoding, let raw):
      JSONValue(entries: [
        ("blob", .integer(index)), ("encoding", .string(encoding.rawValue)), ("width", raw.map { .integer($0.width) }),
        ("height", raw.map { .integer($0.height) }), ("step", raw.map { .integer($0.step) }),
      ])
    }
  }
}

extension WirePrompt {
  fileprivate var json: JSONValue {
    JSONValue(entries: [
      ("points", points.isEmpty ? nil : .array(points.map { .array([JSONValue($0.x), JSONValue($0.y)]) })),
      ("point_labels", points.isEmpty ? nil : .array(pointLabels.map { .integer($0) })),
      ("box", box.map { .array([$0.x0, $0.y0, $0.x1, $0.y1].map { JSONValue($0) }) }),
      ("mask_input", maskInputBlob.map { JSONValue(entries: [("blob", .integer($0))]) }),
    ])
  }
}

extension GivenMask {
  fileprivate var json: JSONValue {
    let counts: JSONValue =
      switch self.counts {
      case .compressed(let text): .string(text)
      case .raw(let runs): .array(runs.map { .integer($0) })
      }
    let segmentation = JSONValue(entries: [
      ("size", .array([.integer(height), .integer(width)])), ("counts", counts),
    ])
    return JSONValue(entries: [("segmentation", segmentation)] + KeptKey.allCases.map { ($0.rawValue, kept[$0]) })
  }
}

extension AutomaticParameters {
  fileprivate var fields: [(String, JSONValue?)] {
    [
      ("points_per_side", pointsPerSide.map { .integer($0) }),
      ("points_per_batch", pointsPerBatch.map { .integer($0) }),
      ("pred_iou_thresh", predIoUThresh.map { .number($0) }),
      ("stability_score_thresh", stabilityScoreThresh.map { .number($0) }),
      ("stability_score_offset", stabilityScoreOffset.map { .number($0) }),
      ("box_nms_thresh", boxNMSThresh.map { .number($0) }),
      ("crop_n_layers", cropNLayers.map { .integer($0) }),
      ("crop_nms_thresh", cropNMSThresh.map { .number($0) }),
      ("crop_overlap_ratio", cropOverlapRatio.map { .number($0) }),
      ("crop_n_points_downscale_factor", cropNPointsDownscaleFactor.map { .integer($0) }),
      (
        "point_grids",
        pointGrids.map { grids in
          .array(grids.map { grid in .array(grid.map { .array([JSONValue($0.x), JSONValue($0.y)]) }) })
        }
      ),
      ("min_mask_region_area", minMaskRegionArea.map { .integer($0) }),
      ("max_masks", maxMasks.map { .integer($0) }),
    ]
  }
}
