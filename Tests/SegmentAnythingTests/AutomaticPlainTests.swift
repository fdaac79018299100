import Imaging
import Masks
import Testing

@testable import SegmentAnything

/// Automatic masks leave out work that cannot matter; the list is the one that all of it gives.
struct AutomaticPlainTests {
  /// Every point's masks are predicted one after the other, drawn as pixels, and only then filtered.
  @Test(arguments: Golden.all)
  func theListOfThePlainWay(golden: Golden) throws {
    let image = try Golden.picture("landscape")
    let embedding = golden.model.embed(image)
    let point = Prompt(points: [Point(x: 60, y: 60)], pointLabels: [1])
    let middle = try golden.model.predict(embedding, point, multimask: true)
    var options = AutomaticMaskOptions()
    options.pointsPerSide = 6
    // Untrained weights: thresholds that some masks pass and some do not.
    options.predIoUThresh = middle.iouPredictions.reduce(0, +) / Float(middle.iouPredictions.count)
    options.stabilityScoreThresh = 0.3
    let found = try AutomaticMaskGenerator(golden.model, options).generate(image, embedding: embedding)

    var masks: [(mask: BitMask, iou: Float, stability: Float)] = []
    for place in options.grids()[0] {
      let prompt = Prompt(
        points: [Point(x: Float(place.x * Double(image.width)), y: Float(place.y * Double(image.height)))],
        pointLabels: [1])
      let prediction = try golden.model.predict(embedding, prompt, multimask: true)
      for (i, mask) in prediction.masks.enumerated() {
        let (iou, stability) = (prediction.iouPredictions[i], prediction.stabilityScores[i])
        guard options.predIoUThresh <= 0 || iou > options.predIoUThresh, stability >= 0.3 else { continue }
        masks.append((mask, iou, stability))
      }
    }
    let boxes = masks.map { $0.mask.inclusiveBox() ?? Box(x0: 0, y0: 0, x1: 0, y1: 0) }
    let kept = nonMaximumSuppression(boxes: boxes, scores: masks.map(\.iou), iouThreshold: options.boxNMSThresh)
    #expect(found.count == kept.count)
    for (mask, index) in zip(found, kept) {
      #expect(mask.mask == RunLengthEncoding(masks[index].mask))
      #expect(mask.box == boxes[index])
      #expect(mask.predictedIoU == masks[index].iou)
      #expect(mask.stabilityScore == masks[index].stability)
    }
  }
}
