import Imaging
import Masks
import SegmentAnything
import Tensors
import Testing

/// What EfficientSAM refuses that SAM takes, and what only it has.
struct EfficientTests {
  let golden: Golden
  let embedding: ImageEmbedding

  init() throws {
    golden = try #require(Golden.all.first { $0.name == "efficientsam" })
    embedding = golden.model.embed(try Golden.picture("landscape"))
  }

  private func expectRefused(
    _ prompt: Prompt, _ error: SegmentAnythingError, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(throws: error, sourceLocation: sourceLocation) {
      try golden.model.predict(embedding, prompt, multimask: true)
    }
  }

  private func clicks(_ count: Int) -> Prompt {
    Prompt(points: Array(repeating: Point(x: 1, y: 1), count: count), pointLabels: Array(repeating: 1, count: count))
  }

  @Test func isRecognised() {
    #expect(golden.model.architecture == "efficient_sam")
    #expect(golden.model.imageSize == 256)
  }

  @Test func masksAreRefused() throws {
    let mask = [Float](repeating: 0, count: 4096)
    expectRefused(Prompt(maskInput: mask), .maskInputRefused(prompt: 0))
    let error = SegmentAnythingError.maskInputRefused(prompt: 3)
    #expect(error.description == "prompts[3].mask_input: EfficientSAM takes no mask, only points and a box")
    #expect(throws: SegmentAnythingError.maskInputRefused(prompt: 0)) {
      try golden.model.trace(Golden.picture("landscape"), Prompt(maskInput: mask), multimask: true)
    }
  }

  /// The official code drops points beyond the sixth; a box is two of them.
  @Test func sixPointsAreTheMost() throws {
    _ = try golden.model.predict(embedding, clicks(6), multimask: true)
    expectRefused(clicks(7), .tooManyPoints(prompt: 0, count: 7, limit: 6))
    var prompt = clicks(4)
    prompt.box = Box(x0: 0, y0: 0, x1: 9, y1: 9)
    _ = try golden.model.predict(embedding, prompt, multimask: true)
    prompt = clicks(5)
    prompt.box = Box(x0: 0, y0: 0, x1: 9, y1: 9)
    expectRefused(prompt, .tooManyPoints(prompt: 0, count: 5, limit: 4))
  }

  /// Pictures down to a pixel.
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
