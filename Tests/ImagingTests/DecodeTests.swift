import Testing

@testable import Imaging

@Suite struct DecodeTests {
  @Test func agreesWithPillow() throws {
    let pictures: [Goldens.Picture] = try Goldens.read("decode.json")
    #expect(pictures.count > 100)
    for picture in pictures {
      let expected = Image(width: picture.width, height: picture.height, pixels: [UInt8](picture.rgb))
      do {
        let image = try Image.decode([UInt8](picture.file))
        let difference = image.largestDifference(from: expected)
        #expect(difference == nil, "\(picture.name): \(difference ?? "")")
      } catch {
        Issue.record("\(picture.name): \(error)")
      }
    }
  }

  @Test func whatIsWrittenIsReadAgain() throws {
    let image = Image.pattern(width: 123, height: 45)
    #expect(try Image.decode(image.encodedPNG()) == image)
    let flat = Image(width: 40, height: 30, pixels: (0..<1200).flatMap { _ in [200, 100, 50] as [UInt8] })
    let difference = try zip(Image.decode(flat.encodedJPEG(quality: 95)).pixels, flat.pixels)
      .map { abs(Int($0) - Int($1)) }.max()
    #expect((difference ?? 255) <= 2)
    #expect(try flat.encodedJPEG(quality: -3).count < flat.encodedJPEG(quality: 1000).count)
  }

  @Test func nothingIsNoPicture() {
    let nothing = Image(width: 0, height: 0, pixels: [])
    #expect(throws: ImagingError.cannotEncode(format: .png, reason: "it has no pixels")) { try nothing.encodedPNG() }
    #expect(throws: ImagingError.cannotEncode(format: .jpeg, reason: "it has no pixels")) {
      try nothing.encodedJPEG()
    }
  }
}
