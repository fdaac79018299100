import Testing

@testable import Imaging

@Suite struct ResizeTests {
  @Test func agreesWithPillow() throws {
    let goldens: Goldens.Resizings = try Goldens.read("resize.json")
    let source = Image(width: goldens.width, height: goldens.height, pixels: [UInt8](goldens.rgb))
    for golden in goldens.results {
      let image = source.resized(
        width: golden.width, height: golden.height, filter: golden.filter == "bicubic" ? .bicubic : .bilinear)
      let expected = Image(width: golden.width, height: golden.height, pixels: [UInt8](golden.rgb))
      let difference = image.largestDifference(from: expected)
      #expect(difference == nil, "\(golden.filter) to \(golden.width)×\(golden.height): \(difference ?? "")")
    }
  }

  @Test func agreesWithPillowOnLargePictures() throws {
    let goldens: Goldens.Resizings = try Goldens.read("resize.json")
    for golden in goldens.checksums {
      let image = Image.pattern(width: golden.from[0], height: golden.from[1]).resized(
        width: golden.to[0], height: golden.to[1], filter: golden.filter == "bicubic" ? .bicubic : .bilinear)
      #expect(adler32(image.pixels) == golden.adler32, "\(golden.filter) from \(golden.from) to \(golden.to)")
    }
  }

  @Test func aPhotographTakesAFractionOfASecond() {
    let image = Image.pattern(width: 2000, height: 1500)
    let time = ContinuousClock().measure { _ = image.resized(width: 1024, height: 768, filter: .bicubic) }
    print("2000×1500 to 1024×768, bicubic: \(time)")
    #expect(time < .seconds(1))
  }

  private func adler32(_ bytes: [UInt8]) -> UInt32 {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      a = (a + UInt32(byte)) % 65521
      b = (b + a) % 65521
    }
    return b << 16 | a
  }
}
