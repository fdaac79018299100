import Imaging
import Masks
import Wire

extension Pipeline {
  /// Stage "segment": the picture, and its masks.
  func segment(_ job: Job, _ models: Models) throws {
    guard let reference = job.request.operation.image else { return }
    // What is wrong with the models is told before anything is decoded.
    let needed = try needs(job.request, models)
    let picture = try picture(reference, job)
    job.picture = picture
    var prompts: [Prompt] = []
    if case .segment(let request) = job.request.operation {
      prompts = try self.prompts(request.prompts, picture, job.blobs)
    } else if case .label(let request) = job.request.operation, case .prompts(let given, _) = request.regions {
      prompts = try self.prompts(given, picture, job.blobs)
    }
    job.blobs = []

    if let segmenter = needed {
      if job.isFrame { rightOfWay.giveWay() }
      let embedding = try picture.remember(.embedding, of: models) { try segmenter.embed(picture) }
      pictures.trim()
      let isCancelled = {
        if job.givesWay { self.rightOfWay.giveWay() }
        return job.isCancelled
      }
      switch job.request.operation {
      case .segment(let request):
        job.regions = try predict(
          segmenter, embedding, prompts, multimask: request.multimask, withLogits: request.logits, isCancelled)
      case .auto(let request):
        job.regions = try automatic(segmenter, embedding, request.parameters, job, request.masks, isCancelled)
      case .label(let request):
        switch request.regions {
        case .prompts(_, let multimask):
          job.regions = try predict(
            segmenter, embedding, prompts, multimask: multimask, withLogits: false, isCancelled)
        case .auto(let parameters):
          job.regions = try automatic(segmenter, embedding, parameters, job, request.masks, isCancelled)
        case .masks: break
        }
      default: break
      }
    }
    if case .label(let request) = job.request.operation {
      if case .masks(let masks) = request.regions { job.regions = try regions(masks, picture) }
      // Nothing to find words for, and nothing to tell of beforehand.
      if job.regions.isEmpty {
        if WordsWish(request, priority: 0).namesRegions {
          throw WireError(.badRequest, "question names regions, but there are no masks to ask about")
        }
        job.reply = try masksReply(job, request.masks)
      } else {
        try job.emit(masksReply(job, request.masks, isFinal: false))
      }
      return
    }
    job.reply =
      switch job.request.operation {
      case .segment(let request): try masksReply(job, request.masks)
      case .auto(let request): try masksReply(job, request.masks)
      default: Reply(to: job.request, [("image", imageJSON(picture))])
      }
  }

  /// The segmenter that a request needs, or none, and whether a labeler is here where one is needed.
  private func needs(_ request: Request, _ models: Models) throws(WireError) -> (any SegmentEngine)? {
    let (segmenter, labeler) = (models.segmenter, models.labeler)
    var needsSegmenter = true
    if case .label(let label) = request.operation {
      guard labeler != nil else {
        throw WireError(.modelUnavailable, "op 'label' needs a labeler, and none is loaded")
      }
      if case .masks = label.regions { needsSegmenter = false }
    }
    if case .putImage = request.operation { return segmenter }
    guard needsSegmenter else { return nil }
    guard let segmenter else {
      throw WireError(.modelUnavailable, "op '\(request.operation.name)' needs a segmenter, and none is loaded")
    }
    return segmenter
  }

  private func picture(_ reference: ImageReference, _ job: Job) throws -> Picture {
    let blobs = job.blobs
    switch reference {
    case .handle(let handle):
      guard let picture = pictures.find(handle) else {
        throw WireError(.noImage, "image.handle '\(handle)' is not held (any more): send the picture itself")
      }
      if !job.isFrame { picture.keep() }
      return picture
    case .blob(let index, let encoding, let raw):
      guard blobs.indices.contains(index) else {
        throw WireError(.badRequest, "image.blob is \(index) but the message has \(blobs.count) blobs")
      }
      guard let raw, let rawEncoding = RawEncoding(rawValue: encoding.rawValue) else {
        return pictures.add(try Image.decode(blobs[index], limits: decodeLimits), isFrame: job.isFrame)
      }
      return pictures.add(
        try Image(raw: blobs[index], encoding: rawEncoding, width: raw.width, height: raw.height, step: raw.step),
        isFrame: job.isFrame)
    }
  }

  private func prompts(_ given: [WirePrompt], _ picture: Picture, _ blobs: [[UInt8]]) throws(WireError) -> [Prompt] {
    let (width, height) = (picture.image.width, picture.image.height)
    var prompts: [Prompt] = []
    for (index, prompt) in given.enumerated() {
      for (number, point) in prompt.points.enumerated() {
        guard point.x >= 0, point.y >= 0, point.x < Float(width), point.y < Float(height) else {
          throw WireError(
            .badRequest,
            "prompts[\(index)].points[\(number)] is [\(point.x), \(point.y)], outside the picture of \(width)×\(height) pixels"
          )
        }
      }
      if let box = prompt.box {
        guard box.x0 >= 0, box.y0 >= 0, box.x1 <= Float(width), box.y1 <= Float(height) else {
          throw WireError(
            .badRequest,
            "prompts[\(index)].box is [\(box.x0), \(box.y0), \(box.x1), \(box.y1)], which reaches outside the picture of \(width)×\(height) pixels"
          )
        }
      }
      prompts.append(
        Prompt(
          points: prompt.points, pointLabels: prompt.pointLabels, box: prompt.box,
          maskInput: try prompt.maskInputBlob.map { blob throws(WireError) in
            try Self.floats(blobs, blob, "prompts[\(index)].mask_input")
          }))
    }
    return prompts
  }

  /// A blob of little-endian float32 numbers.
  private static func floats(_ blobs: [[UInt8]], _ index: Int, _ name: String) throws(WireError) -> [Float] {
    guard blobs.indices.contains(index), blobs[index].count % 4 == 0, blobs[index].count <= 1 << 24 else {
      throw WireError(.badRequest, "\(name).blob is \(index), which is no list of float32 logits")
    }
    let values = blobs[index].withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map {
        Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
      }
    }
    if let bad = values.firstIndex(where: { !$0.isFinite }) {
      throw WireError(.badRequest, "\(name)[\(bad)] is \(values[bad]); it is to be a finite number")
    }
    return values
  }

  private func predict(
    _ segmenter: any SegmentEngine, _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool,
    _ isCancelled: () -> Bool
  ) throws -> [Region] {
    let found = try segmenter.predict(
      embedding, prompts, multimask: multimask, withLogits: withLogits, isCancelled: isCancelled)
    return found.enumerated().flatMap { prompt, masks in masks.map { Region($0, prompt: prompt) } }
  }

  /// The masks that a client brought, checked against the picture.
  private func regions(_ masks: [GivenMask], _ picture: Picture) throws(WireError) -> [Region] {
    var regions: [Region] = []
    for (index, given) in masks.enumerated() {
      guard given.width == picture.image.width, given.height == picture.image.height else {
        throw WireError(
          .badRequest,
          "masks[\(index)].segmentation.size is [\(given.height), \(given.width)], but the picture's [h, w] is [\(picture.image.height), \(picture.image.width)]"
        )
      }
      do throws(MaskError) {
        var region = Region(FoundMask(mask: try given.runs()))
        region.kept = given.kept
        regions.append(region)
      } catch {
        throw WireError(.badRequest, "masks[\(index)].segmentation.counts: \(error)")
      }
    }
    return regions
  }
}
