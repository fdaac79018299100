import Foundation
import Masks
import Testing

@testable import Imaging

@Suite struct OverlayTests {
  private func disc(_ width: Int, _ height: Int, x: Int, y: Int, radius: Int) -> BitMask {
    var mask = BitMask(width: width, height: height)
    for row in 0..<height {
      for column in 0..<width {
        let (dx, dy) = (column - x, row - y)
        mask[column, row] = dx * dx + dy * dy <= radius * radius
      }
    }
    return mask
  }

  @Test func onlyTheMaskItsEdgeAndItsPlateChange() {
    let image = Image.pattern(width: 80, height: 60)
    let mask = disc(80, 60, x: 40, y: 30, radius: 12)
    let drawn = image.overlay([(mask, nil)])
    for y in 0..<60 {
      for x in 0..<80 {
        let offset = (y * 80 + x) * 3
        let isChanged = drawn.pixels[offset..<offset + 3] != image.pixels[offset..<offset + 3]
        let (dx, dy) = (x - 40, y - 30)
        if dx * dx + dy * dy > 14 * 14 { #expect(!isChanged, "(\(x), \(y))") }
      }
    }
    #expect(drawn.pixels != image.pixels)
    #expect(image.overlay([]).pixels == image.pixels)
    #expect(image.overlay([(BitMask(width: 80, height: 60), "nothing")]).pixels == image.pixels)
  }

  @Test func anyLabelOnAnyPictureStaysInside() {
    for (width, height) in [(1, 1), (3, 200), (200, 3), (20, 20), (64, 64), (400, 300)] {
      let image = Image.pattern(width: width, height: height)
      let corner = disc(width, height, x: 0, y: 0, radius: 2)
      let all = BitMask(width: width, height: height, bits: [UInt8](repeating: 1, count: width * height))
      let label = "a long label, à côté de 茶碗 🍵 \u{0}\n" + String(repeating: "w", count: 200)
      let drawn = image.overlay([(corner, label), (all, label), (corner, ""), (all, "x")])
      #expect((drawn.width, drawn.height) == (width, height))
    }
  }

  @Test func platesKeepOffEachOther() {
    let image = Image(width: 400, height: 300, pixels: [UInt8](repeating: 128, count: 360_000))
    var plates: [LabelPlate] = []
    for index in 0..<6 {
      let mask = disc(400, 300, x: 200 + index, y: 150, radius: 60)
      guard let region = OverlayRegion(mask, label: "label \(index)", color: .distinct(index)) else {
        Issue.record("no region")
        return
      }
      guard let plate = LabelPlate(for: region, in: image, scale: 1, avoiding: plates) else {
        Issue.record("no plate")
        return
      }
      for other in plates {
        let isApart =
          plate.x >= other.x + other.width || other.x >= plate.x + plate.width || plate.y >= other.y + other.height
          || other.y >= plate.y + plate.height
        #expect(isApart)
      }
      plates.append(plate)
    }
  }

  @Test func theFontHasEveryCharacter() {
    for character in UInt8(33)...126 {
      #expect(BitmapFont.glyph(character).contains { $0 != 0 }, "\(character)")
    }
    #expect(BitmapFont.glyph(32).allSatisfy { $0 == 0 })
    #expect(Set((32...126).map { [UInt8](BitmapFont.glyph($0)) }).count == 95)
    #expect(BitmapFont.characters("é茶\tb") == Array("e? b".utf8))
  }

  /// `PANDION_OVERLAY=picture.png` writes an overlay to look at; `PANDION_OVERLAY_GROUND` names a picture to draw on.
  @Test func drawsSomethingToLookAt() throws {
    let environment = ProcessInfo.processInfo.environment
    guard let path = environment["PANDION_OVERLAY"] else { return }
    let image =
      try environment["PANDION_OVERLAY_GROUND"].map { try Image.load(path: $0) }
      ?? Image(width: 800, height: 600, pixels: [UInt8](repeating: 150, count: 1_440_000))
    let (w, h) = (image.width, image.height)
    let masks = [
      (disc(w, h, x: w / 3, y: h / 2, radius: h / 4), "a white mug with handle"),
      (disc(w, h, x: w / 3, y: h / 2, radius: h / 12), "logo"),
      (disc(w, h, x: w * 3 / 4, y: h / 3, radius: h / 5), "spoon (metal)"),
      (disc(w, h, x: w, y: h, radius: h / 4), "corner: fridge door"),
      (disc(w, h, x: w / 2, y: h * 4 / 5, radius: h / 30), "button #7"),
      (disc(w, h, x: w / 2 + h / 20, y: h * 4 / 5, radius: h / 30), "button #8"),
      (disc(w, h, x: w / 9, y: h / 9, radius: h / 10), "The quick brown fox jumps over the lazy dog, 0123456789"),
      (disc(w, h, x: w * 3 / 5, y: h / 8, radius: h / 14), "{a|b}~[c]^_`\"$%&'*+,-./<=>?@\\!"),
    ]
    try Data(image.overlay(masks.map { ($0.0, $0.1) }).encodedPNG()).write(to: URL(fileURLWithPath: path))
  }
}
