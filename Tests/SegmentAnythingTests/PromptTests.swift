import Imaging
import Masks
import SegmentAnything
import Testing

/// Bad prompts are refused by name, before anything runs.
struct PromptTests {
  let golden = Golden.all[1]
  let embedding: ImageEmbedding

  init() throws { embedding = golden.model.embed(try Golden.picture("landscape")) }

  private func expectRefused(
    _ prompt: Prompt, _ error: SegmentAnythingError, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(throws: error, sourceLocation: sourceLocation) {
      try golden.model.predict(embedding, prompt, multimask: true)
    }
  }

  @Test func nothingGiven() {
    expectRefused(Prompt(), .emptyPrompt(prompt: 0))
    expectRefused(Prompt(pointLabels: [1]), .labelCount(prompt: 0, points: 0, labels: 1))
  }

  @Test func points() {
    expectRefused(Prompt(points: [Point(x: 1, y: 1)]), .labelCount(prompt: 0, points: 1, labels: 0))
    expectRefused(Prompt(points: [Point(x: .nan, y: 1)], pointLabels: [1]), .pointNotFinite(prompt: 0, index: 0))
    expectRefused(
      Prompt(points: [Point(x: 1, y: 1), Point(x: 300, y: 1)], pointLabels: [1, 1]),
      .pointOutside(prompt: 0, index: 1, x: 300, y: 1, width: 300, height: 200))
    expectRefused(
      Prompt(points: [Point(x: 1, y: -1)], pointLabels: [1]),
      .pointOutside(prompt: 0, index: 0, x: 1, y: -1, width: 300, height: 200))
    expectRefused(
      Prompt(points: [Point(x: 1, y: 1)], pointLabels: [2]), .badLabel(prompt: 0, index: 0, label: 2))
    expectRefused(
      Prompt(points: Array(repeating: Point(x: 1, y: 1), count: 1025), pointLabels: Array(repeating: 1, count: 1025)),
      .tooManyPoints(prompt: 0, count: 1025, limit: 1024))
  }

  @Test func boxes() {
    expectRefused(
      Prompt(box: Box(x0: 9, y0: 0, x1: 8, y1: 5)), .boxInverted(prompt: 0, box: [9, 0, 8, 5]))
    expectRefused(
      Prompt(box: Box(x0: 0, y0: 0, x1: 301, y1: 5)),
      .boxOutside(prompt: 0, box: [0, 0, 301, 5], width: 300, height: 200))
    expectRefused(Prompt(box: Box(x0: 0, y0: 0, x1: .infinity, y1: 5)), .boxNotFinite(prompt: 0))
  }

  @Test func maskInputs() {
    expectRefused(Prompt(maskInput: [1, 2]), .maskInputLength(prompt: 0, expected: 4096, actual: 2))
    var mask = [Float](repeating: 0, count: 4096)
    mask[7] = .nan
    expectRefused(Prompt(maskInput: mask), .maskInputNotFinite(prompt: 0, index: 7))
  }

  @Test func theWrongOneOfManyIsNamed() {
    let good = Prompt(points: [Point(x: 1, y: 1)], pointLabels: [1])
    #expect(throws: SegmentAnythingError.emptyPrompt(prompt: 1)) {
      try golden.model.predict(embedding, [good, Prompt()], multimask: false)
    }
  }

  /// Pictures down to a pixel, and slivers that the reference cannot scale.
  @Test(arguments: [(1, 1), (1, 400), (3000, 1)]) func tinyPictures(width: Int, height: Int) throws {
    let image = Image(width: width, height: height, pixels: [UInt8](repeating: 90, count: width * height * 3))
    let prediction = try golden.model.predict(
      golden.model.embed(image), Prompt(points: [Point(x: 0, y: 0)], pointLabels: [1]), multimask: true)
    #expect(prediction.masks.allSatisfy { $0.width == width && $0.height == height })
    var options = AutomaticMaskOptions()
    (options.pointsPerSide, options.cropNLayers) = (2, 2)
    _ = try AutomaticMaskGenerator(golden.model, options).generate(image)
  }
}
