import Testing

@testable import Imaging

@Suite struct RawTests {
  @Test func everyEncodingGivesTheSameColours() throws {
    for (encoding, pixel) in [
      (RawEncoding.rgb8, [10, 20, 30]), (.bgr8, [30, 20, 10]), (.rgba8, [10, 20, 30, 99]), (.bgra8, [30, 20, 10, 99]),
    ] as [(RawEncoding, [UInt8])] {
      // Two rows of two, with three bytes of filling after the first.
      let raw = pixel + pixel + [7, 7, 7] + pixel + pixel
      let image = try Image(raw: raw, encoding: encoding, width: 2, height: 2, step: pixel.count * 2 + 3)
      #expect(image.pixels == [10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30])
    }
    let grey = try Image(raw: [5, 6, 0, 7, 8], encoding: .mono8, width: 2, height: 2, step: 3)
    #expect(grey.pixels == [5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8])
  }

  @Test func refusesWhatDoesNotFit() {
    func error(_ count: Int, _ width: Int, _ height: Int, _ step: Int) -> ImagingError? {
      do throws(ImagingError) {
        _ = try Image(
          raw: [UInt8](repeating: 0, count: count), encoding: .rgb8, width: width, height: height, step: step)
        return nil
      } catch { return error }
    }
    #expect(error(12, 2, 2, 6) == nil)
    #expect(error(13, 2, 2, 6) == nil)
    #expect(error(11, 2, 2, 6) == .tooFewBytes(expected: 12, actual: 11))
    #expect(
      error(12, 2, 2, 5)
        == .invalidSize(width: 2, height: 2, step: 5, reason: "a row of rgb8 needs a step of at least 6"))
    #expect(
      error(12, 0, 2, 6) == .invalidSize(width: 0, height: 2, step: 6, reason: "both sides must be positive"))
    #expect(
      error(12, 2, -1, 6) == .invalidSize(width: 2, height: -1, step: 6, reason: "both sides must be positive"))
    #expect(error(12, .max, 2, 6) == .tooLarge(quantity: "width", value: .max, limit: 16_384))
    #expect(
      error(12, 2, 3, .max) == .invalidSize(width: 2, height: 3, step: .max, reason: "the step is too large"))
    #expect(error(12, 2, 2, .max) == .invalidSize(width: 2, height: 2, step: .max, reason: "the step is too large"))
  }

  @Test func anOrientationTurnsThePicture() {
    let image = Image(width: 2, height: 1, pixels: [1, 1, 1, 2, 2, 2])
    let right = image.upright(from: .right)
    #expect((right.width, right.height) == (1, 2))
    #expect(right.pixels == [1, 1, 1, 2, 2, 2])
    #expect(image.upright(from: .left).pixels == [2, 2, 2, 1, 1, 1])
    #expect(image.upright(from: .down).pixels == [2, 2, 2, 1, 1, 1])
    for orientation in Orientation.allCases {
      #expect(Image(width: 0, height: 3, pixels: []).upright(from: orientation).pixels.isEmpty)
    }
  }
}
