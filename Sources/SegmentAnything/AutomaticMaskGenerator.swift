import Imaging
import Masks
import Tensors

/// A mask that nobody asked for by hand.
public struct AutomaticMask: Sendable, Equatable {
  public var mask: RunLengthEncoding
  /// Pixels of the mask.
  public var area: Int { mask.area }
  /// Around the mask, as the reference has it: x, y, and the distance from the first to the last pixel.
  public var bbox: (x: Float, y: Float, width: Float, height: Float) {
    (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
  }
  /// Around the mask, first and last pixel.
  public var box: Box<SourceFrame>
  public var predictedIoU: Float
  public var stabilityScore: Float
  /// The point that the mask was found from.
  public var pointCoords: Point<SourceFrame>
  /// The crop that it was found in: x, y, width, height.
  public var cropBox: (x: Int, y: Int, width: Int, height: Int) { (crop.x0, crop.y0, crop.width, crop.height) }
  var crop: CropBox
}

/// Masks of everything in a picture, from a grid of points. Source: `automatic_mask_generator.py`,
/// `SamAutomaticMaskGenerator`; the order of filters is the reference's.
public struct AutomaticMaskGenerator: Sendable {
  public let model: SegmentAnything
  public let options: AutomaticMaskOptions
  private let grids: [[AutomaticMaskOptions.GridPoint]]

  public init(_ model: SegmentAnything, _ options: AutomaticMaskOptions = .init()) throws(SegmentAnythingError) {
    try options.validate()
    (self.model, self.options, grids) = (model, options, options.grids())
  }

  /// - Parameters:
  ///   - embedding: of the whole picture, if it is at hand.
  ///   - proceed: asked every few points with how many prompts are done, of how many; false stops with
  ///     `SegmentAnythingError.cancelled`.
  ///   - watch: gets masks on the way, from a coarse grid of points first; each time those that are new. They are provisional:
  ///     small regions are still in them, and a better mask may stand for them in the end.
  /// - Returns: the masks, best first (within a crop by expected IoU, smaller crops before larger ones).
  public func generate(
    _ image: Image, embedding: ImageEmbedding? = nil, proceed: (_ done: Int, _ of: Int) -> Bool = { _, _ in true },
    watch: (([AutomaticMask]) -> Void)? = nil
  ) throws(SegmentAnythingError) -> [AutomaticMask] {
    if let embedding { precondition(embedding.width == image.width && embedding.height == image.height) }
    let crops = CropBox.all(
      width: image.width, height: image.height, layers: options.cropNLayers, overlapRatio: options.cropOverlapRatio)
    let total = crops.reduce(0) { $0 + grids[$1.layer].count }
    // Few enough at a time to let a click overtake soon.
    let batch = SegmentAnything.group
    var done = 0
    var masks: [AutomaticMask] = []
    var provisional = watch.map { ProvisionalMasks(points: total, iouThreshold: options.boxNMSThresh, tell: $0) }
    for (box, layer) in crops {
      let seen = (layer == 0 ? embedding : nil) ?? model.embed(image.cropped(to: box))
      let points = grids[layer]
      var masksOfPoints = [[AutomaticMask]](repeating: [], count: points.count)
      for pass in CoarseToFine.passes(points.count, side: options.rowLength(of: points)) {
        for first in stride(from: 0, to: pass.count, by: batch) {
          guard proceed(done, total) else { throw .cancelled }
          let indices = Array(pass[first..<min(first + batch, pass.count)])
          let new = masksAt(
            indices.map { points[$0] }, seen, crop: box, width: image.width, height: image.height)
          for (index, masks) in zip(indices, new) { masksOfPoints[index] = masks }
          done += indices.count
          provisional?.add(new.joined(), done: done)
        }
        // The passes over the whole picture are the coarse and the fine; those over crops are many.
        if layer == 0, done < total { provisional?.tellNow(done: done) }
      }
      let found = Array(masksOfPoints.joined())
      masks += found.suppressed(by: found.map(\.predictedIoU), options.boxNMSThresh)
    }
    if crops.count > 1 {
      // Masks of smaller crops are preferred.
      masks = masks.suppressed(by: masks.map { 1 / Float($0.crop.area) }, options.cropNMSThresh)
    }
    return options.minMaskRegionArea > 0 ? withoutSmallRegions(masks) : masks
  }

  /// Of each of some points the masks that pass every filter.
  private func masksAt(
    _ points: [AutomaticMaskOptions.GridPoint], _ embedding: ImageEmbedding, crop: CropBox, width: Int, height: Int
  ) -> [[AutomaticMask]] {
    let inCrop = points.map { ($0.x * Double(crop.width), $0.y * Double(crop.height)) }
    let decoded = model.decode(
      embedding.unmasked,
      inCrop.map { x, y in
        model.promptEncoder.sparse(ModelPrompt(points: [embedding.frame.model(x: x, y: y)], labels: [1]))
      })
    return ComputePool.map(points.count) {
      masks(decoded[$0], at: inCrop[$0], embedding, crop: crop, width: width, height: height)
    }
  }

  private func masks(
    _ decoded: MaskDecoder.Decoded, at point: (x: Double, y: Double), _ embedding: ImageEmbedding, crop: CropBox,
    width: Int, height: Int
  ) -> [AutomaticMask] {
    let (decoder, (x, y)) = (model.maskDecoder, point)
    // Masks that the model does not believe in are never drawn.
    let tokens = decoder.tokens(multimask: true, iou: decoded.iou).filter {
      options.predIoUThresh <= 0 || decoded.iou[$0] > options.predIoUThresh
    }
    guard !tokens.isEmpty else { return [] }
    let upsampler = MaskUpsampler(side: model.maskSide, frame: embedding.frame)
    let logits = decoder.masks(decoded, tokens: tokens, fine: embedding.fine)
    let cuts = upsampler.threshold(all: logits, offset: options.stabilityScoreOffset)
    var masks: [AutomaticMask] = []
    for (token, cut) in zip(tokens, cuts) {
      guard options.stabilityScoreThresh <= 0 || cut.stability >= options.stabilityScoreThresh else { continue }
      var box = cut.box ?? Box(x0: 0, y0: 0, x1: 0, y1: 0)
      box = Box(
        x0: box.x0 + Float(crop.x0), y0: box.y0 + Float(crop.y0), x1: box.x1 + Float(crop.x0),
        y1: box.y1 + Float(crop.y0))
      guard !crop.cutsOff(box, width: width, height: height) else { continue }
      let whole = cut.mask.uncropped(from: crop, width: width, height: height)
      masks.append(
        AutomaticMask(
          mask: RunLengthEncoding(whole), box: box, predictedIoU: decoded.iou[token], stabilityScore: cut.stability,
          pointCoords: Point(x: Float(x + Double(crop.x0)), y: Float(y + Double(crop.y0))), crop: crop))
    }
    return masks
  }

  /// Fills small holes, drops small islands, then prefers masks that needed neither among those that now coincide.
  /// Source: `postprocess_small_regions`.
  private func withoutSmallRegions(_ masks: [AutomaticMask]) -> [AutomaticMask] {
    var scores: [Float] = []
    let cleaned = masks.map { mask in
      let (filled, hadHoles) = mask.mask.bitMask().removingSmallRegions(area: options.minMaskRegionArea, mode: .holes)
      let (whole, hadIslands) = filled.removingSmallRegions(area: options.minMaskRegionArea, mode: .islands)
      scores.append(hadHoles || hadIslands ? 0 : 1)
      guard hadHoles || hadIslands else { return mask }
      var changed = mask
      changed.mask = RunLengthEncoding(whole)
      changed.box = whole.inclusiveBox() ?? Box(x0: 0, y0: 0, x1: 0, y1: 0)
      return changed
    }
    return cleaned.suppressed(by: scores, max(options.boxNMSThresh, options.cropNMSThresh))
  }
}

extension [AutomaticMask] {
  /// What non-maximum suppression of the boxes leaves, highest score first.
  func suppressed(by scores: [Float], _ iouThreshold: Float) -> [AutomaticMask] {
    nonMaximumSuppression(boxes: map(\.box), scores: scores, iouThreshold: iouThreshold).map { self[$0] }
  }
}
