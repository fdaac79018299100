import Imaging
import Masks
import Wire

extension Pipeline {
  func imageJSON(_ picture: Picture) -> JSONValue {
    JSONValue(entries: [
      ("handle", .string(picture.handle)), ("width", .integer(picture.image.width)),
      ("height", .integer(picture.image.height)),
    ])
  }

  /// On the way to the end: some masks' words, by their ids; the masks themselves went out before.
  func wordsReply(_ job: Job, _ indices: [Int]) -> Reply {
    let masks = indices.map { index in
      let region = job.regions[index]
      var mask = ReplyMask(id: index, area: region.found.mask.area, bbox: region.found.mask.samBox)
      if let words = region.words { mask.add(words, of: region) }
      return mask
    }
    return Reply(to: job.request, isFinal: false, [("masks", .array(masks.map(\.json)))])
  }

  /// The masks of a job in the encoding asked for, those of all prompts in one list.
  func masksReply(_ job: Job, _ encoding: MaskEncoding, isFinal: Bool = true) throws -> Reply {
    let parents = try containingMasks(job.regions.map(\.found.mask)) { try pause(job, $0) }
    var (fields, blobs) = try masks(job, job.regions, encoding) { $0.parent = parents[$0.id] }
    fields.insert(("answer", job.answer.map(Self.answerJSON)), at: 1)
    return Reply(to: job.request, isFinal: isFinal, fields, blobs: blobs)
  }

  /// Masks on the way that the list in the end may not have.
  ///
  /// - Parameter firstID: that of the first; ids count on from one such reply to the next.
  func provisionalReply(_ job: Job, _ regions: [Region], firstID: Int, _ encoding: MaskEncoding) throws -> Reply {
    let (fields, blobs) = try masks(job, regions, encoding) { $0.id += firstID }
    return Reply(to: job.request, isFinal: false, [("provisional", .bool(true))] + fields, blobs: blobs)
  }

  /// - Parameter finish: gets each mask in turn.
  private func masks(
    _ job: Job, _ regions: [Region], _ encoding: MaskEncoding, _ finish: (inout ReplyMask) -> Void
  ) throws -> (fields: [(String, JSONValue?)], blobs: [[UInt8]]) {
    guard let picture = job.picture else { throw WireError(.internal, "masks without a picture") }
    var blobs: [[UInt8]] = []
    var masks: [ReplyMask] = []
    for (id, region) in regions.enumerated() {
      try pause(job, id)
      var mask = ReplyMask(id: id, area: region.found.mask.area, bbox: region.found.mask.samBox)
      mask.prompt = region.prompt
      mask.segmentation = try segmentation(region.found.mask, encoding, &blobs)
      if encoding == .labelMap { mask.value = id + 1 }
      mask.predictedIoU = region.predictedIoU
      mask.stabilityScore = region.stabilityScore
      mask.pointCoords =
        region.found.pointCoords.map { .array($0.map { .array([JSONValue($0.x), JSONValue($0.y)]) }) }
        ?? region.kept[.pointCoords]
      mask.cropBox = region.found.cropBox.map { .array($0.map { .integer($0) }) } ?? region.kept[.cropBox]
      if let words = region.words { mask.add(words, of: region) }
      if let logits = region.found.logits {
        mask.logits = JSONValue(entries: [
          ("blob", .integer(blobs.count)), ("dtype", .string("float32")),
          ("shape", .array([.integer(logits.height), .integer(logits.width)])),
        ])
        blobs.append(littleEndian(logits.values.map(\.bitPattern)))
      }
      finish(&mask)
      masks.append(mask)
    }
    var fields: [(String, JSONValue?)] = [("masks", .array(masks.map(\.json))), ("image", imageJSON(picture))]
    if encoding == .labelMap {
      guard regions.count < Int(UInt16.max) else {
        throw WireError(.tooLarge, "masks: a label_map holds 65,534 masks, not \(regions.count)")
      }
      let map = Masks.labelMap(regions.map(\.found.mask), width: picture.image.width, height: picture.image.height)
      let size = JSONValue.array([.integer(picture.image.height), .integer(picture.image.width)])
      fields.append(
        (
          "label_map",
          JSONValue(entries: [("blob", .integer(blobs.count)), ("dtype", .string("uint16")), ("size", size)])
        ))
      blobs.append(littleEndian(map))
    }
    return (fields, blobs)
  }

  /// Between masks: there may be thousands, of a picture of many megapixels.
  private func pause(_ job: Job, _ index: Int) throws(WireError) {
    if job.givesWay, index % 16 == 15 { rightOfWay.giveWay() }
    try job.checkCancelled()
  }

  private static func answerJSON(_ words: Words) -> JSONValue {
    JSONValue(entries: [
      ("text", .string(words.label)), ("score", words.score.map { JSONValue($0) }), ("evidence", words.evidence),
    ])
  }

  private func segmentation(
    _ mask: RunLengthEncoding, _ encoding: MaskEncoding, _ blobs: inout [[UInt8]]
  ) throws -> JSONValue? {
    let size = ("size", JSONValue.array([.integer(mask.height), .integer(mask.width)]))
    switch encoding {
    case .none, .labelMap: return nil
    case .cocoRLE: return JSONValue(entries: [size, ("counts", .string(mask.compressed))])
    case .cocoRLERaw:
      return JSONValue(entries: [size, ("counts", .array(mask.counts.map { .integer($0) }))])
    case .polygon:
      return .array(mask.bitMask().polygons().map { .array($0.map { JSONValue($0) }) })
    case .png:
      blobs.append(try mask.bitMask().encodedPNG())
      return JSONValue(entries: [size, ("blob", .integer(blobs.count - 1)), ("encoding", .string("png"))])
    }
  }
}

extension Region {
  fileprivate var predictedIoU: JSONValue? { found.predictedIoU.map { JSONValue($0) } ?? kept[.predictedIoU] }
  fileprivate var stabilityScore: JSONValue? { found.stabilityScore.map { JSONValue($0) } ?? kept[.stabilityScore] }
}

extension ReplyMask {
  /// The evidence tells how good the mask is too, so that it stands on its own.
  fileprivate mutating func add(_ words: Words, of region: Region) {
    label = words.label
    description = words.description
    score = words.score
    alternatives = words.alternatives
    evidence = words.evidence?.appending([
      ("predicted_iou", region.predictedIoU), ("stability_score", region.stabilityScore),
    ])
  }
}

/// Integers as little-endian bytes.
private func littleEndian(_ values: [some FixedWidthInteger]) -> [UInt8] {
  values.map(\.littleEndian).withUnsafeBytes { Array($0) }
}
