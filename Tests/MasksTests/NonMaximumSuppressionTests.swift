import Testing

@testable import Masks

@Suite struct NonMaximumSuppressionTests {
  @Test func keepsWhatTorchvisionKeeps() throws {
    let heaps: [Goldens.Heap] = try Goldens.read("nms.json")
    #expect(!heaps.isEmpty)
    for (index, heap) in heaps.enumerated() {
      let boxes = heap.boxes.map { Box<SourceFrame>(x0: $0[0], y0: $0[1], x1: $0[2], y1: $0[3]) }
      #expect(
        nonMaximumSuppression(boxes: boxes, scores: heap.scores, iouThreshold: heap.threshold) == heap.kept,
        "heap \(index)")
    }
  }

  @Test func aThresholdThatIsMetSuppressesNothing() {
    let boxes = [Box<SourceFrame>(x0: 0, y0: 0, x1: 2, y1: 1), Box(x0: 0, y0: 0, x1: 1, y1: 1)]
    #expect(boxes[0].iou(boxes[1]) == 0.5)
    #expect(nonMaximumSuppression(boxes: boxes, scores: [1, 2], iouThreshold: 0.5) == [1, 0])
    #expect(nonMaximumSuppression(boxes: boxes, scores: [1, 2], iouThreshold: 0.49) == [1])
  }

  @Test func numbersThatAreNoneDoNoHarm() {
    let boxes = [Box<SourceFrame>](repeating: Box(x0: 0, y0: 0, x1: 0, y1: 0), count: 3)
    #expect(nonMaximumSuppression(boxes: boxes, scores: [0, .nan, 1], iouThreshold: 0.5) == [1, 2, 0])
    #expect(nonMaximumSuppression(boxes: [Box<SourceFrame>](), scores: [], iouThreshold: 0.5) == [])
  }
}
