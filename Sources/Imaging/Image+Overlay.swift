import Masks

extension Image {
  /// The picture with masks drawn over it: a translucent colour, a crisp outline, and the label on a dark plate.
  ///
  /// Smaller masks lie on larger ones, so that parts show on their objects. Lines and letters grow with the picture. Plates
  /// stay inside the picture, near their mask, and off each other where there is room.
  ///
  /// - Parameter masks: of the picture's size; mask `i` always gets colour `i`.
  public func overlay(_ masks: [(mask: BitMask, label: String?)]) -> Image {
    var canvas = Canvas(self)
    let regions = masks.enumerated().compactMap { index, entry -> OverlayRegion? in
      precondition(
        entry.mask.width == width && entry.mask.height == height,
        "mask \(index) is \(entry.mask.width)×\(entry.mask.height), the picture is \(width)×\(height)")
      return OverlayRegion(entry.mask, label: entry.label, color: .distinct(index))
    }
    // Of equally large masks the first stays on top.
    let order = regions.indices.sorted {
      regions[$0].area == regions[$1].area ? $0 > $1 : regions[$0].area > regions[$1].area
    }
    let lineWidth = max(1, Int((Float(min(width, height)) / 300).rounded()))
    for index in order { canvas.fill(regions[index], opacity: 0.4) }
    for index in order { canvas.outline(regions[index], width: lineWidth) }
    let scale = max(1, Int((Float(min(width, height)) / 340).rounded()))
    // Small masks have the fewest places for a plate, so they choose first.
    var plates: [LabelPlate] = []
    for index in order.reversed() {
      if let plate = LabelPlate(for: regions[index], in: self, scale: scale, avoiding: plates) { plates.append(plate) }
    }
    for plate in plates { canvas.draw(plate) }
    return Image(width: width, height: height, pixels: canvas.pixels)
  }
}

/// Red, green and blue, 0 … 255.
struct Color: Sendable, Equatable {
  var red: Float
  var green: Float
  var blue: Float

  /// One of endlessly many bright colours, neighbours in the sequence far apart: the hue goes on by the golden ratio.
  static func distinct(_ index: Int) -> Color {
    let hue = Float((Double(index) * 0.618_033_988_749_895 + 0.58).truncatingRemainder(dividingBy: 1)) * 6
    // Every other round of hues is lighter.
    let saturation: Float = index / 8 % 2 == 0 ? 0.85 : 0.55
    func channel(_ offset: Float) -> Float {
      let k = (offset + hue).truncatingRemainder(dividingBy: 6)
      return 255 * (1 - saturation * max(0, min(k, 4 - k, 1)))
    }
    return Color(red: channel(5), green: channel(3), blue: channel(1))
  }
}

/// A mask that is to be drawn, and the part of the picture that it lies in.
struct OverlayRegion {
  let mask: BitMask
  let label: String?
  let color: Color
  let area: Int
  /// Columns and rows that have pixels of the mask.
  let columns: ClosedRange<Int>
  let rows: ClosedRange<Int>

  /// - Returns: nil for an empty mask.
  init?(_ mask: BitMask, label: String?, color: Color) {
    guard let box = mask.inclusiveBox() else { return nil }
    (self.mask, self.label, self.color, area) = (mask, label, color, mask.area)
    (columns, rows) = (Int(box.x0)...Int(box.x1), Int(box.y0)...Int(box.y1))
  }

  /// A point well inside the mask, from a coarse copy of it; exact enough for a label.
  var anchor: (x: Int, y: Int) {
    let step = max(1, max(columns.count, rows.count) / 96)
    let (width, height) = ((columns.count + step - 1) / step, (rows.count + step - 1) / step)
    var coarse = BitMask(width: width, height: height)
    for y in 0..<height {
      for x in 0..<width {
        coarse[x, y] = mask[columns.lowerBound + x * step, rows.lowerBound + y * step]
      }
    }
    // Between the samples there may be nothing.
    let inner = coarse.innerPoint() ?? (width / 2, height / 2)
    return (columns.lowerBound + inner.x * step, rows.lowerBound + inner.y * step)
  }
}

/// Pixels that are being painted on.
struct Canvas {
  private(set) var pixels: [UInt8]
  let width: Int
  let height: Int

  init(_ image: Image) { (pixels, width, height) = (image.pixels, image.width, image.height) }

  mutating func blend(_ x: Int, _ y: Int, _ color: Color, _ opacity: Float) {
    let offset = (y * width + x) * 3
    pixels[offset] = Self.mixed(pixels[offset], color.red, opacity)
    pixels[offset + 1] = Self.mixed(pixels[offset + 1], color.green, opacity)
    pixels[offset + 2] = Self.mixed(pixels[offset + 2], color.blue, opacity)
  }

  private static func mixed(_ below: UInt8, _ above: Float, _ opacity: Float) -> UInt8 {
    UInt8((Float(below) * (1 - opacity) + above * opacity).rounded())
  }

  mutating func fill(_ region: OverlayRegion, opacity: Float) {
    for y in region.rows {
      for x in region.columns where region.mask[x, y] { blend(x, y, region.color, opacity) }
    }
  }

  /// The outermost pixels of the mask in its colour, the ones around them darker, so that it stands out on any ground.
  mutating func outline(_ region: OverlayRegion, width lineWidth: Int) {
    let mask = region.mask
    // A pixel is on the line if there is background within a disc around it.
    var disc: [(dx: Int, dy: Int)] = []
    for dy in -lineWidth...lineWidth {
      for dx in -lineWidth...lineWidth where dx * dx + dy * dy <= lineWidth * lineWidth { disc.append((dx, dy)) }
    }
    let columns = max(0, region.columns.lowerBound - 1)...min(width - 1, region.columns.upperBound + 1)
    for y in max(0, region.rows.lowerBound - 1)...min(height - 1, region.rows.upperBound + 1) {
      for x in columns {
        if mask[x, y] {
          if disc.contains(where: { isBackground(x + $0.dx, y + $0.dy, of: mask) }) { blend(x, y, region.color, 1) }
        } else if isIn(x - 1, y, mask) || isIn(x + 1, y, mask) || isIn(x, y - 1, mask) || isIn(x, y + 1, mask) {
          blend(x, y, Color(red: 0, green: 0, blue: 0), 0.45)
        }
      }
    }
  }

  /// Neither is true beyond the picture, so no line runs along its edge.
  private func isIn(_ x: Int, _ y: Int, _ mask: BitMask) -> Bool {
    x >= 0 && y >= 0 && x < width && y < height && mask[x, y]
  }

  private func isBackground(_ x: Int, _ y: Int, of mask: BitMask) -> Bool {
    x >= 0 && y >= 0 && x < width && y < height && !mask[x, y]
  }

  mutating func draw(_ plate: LabelPlate) {
    for y in plate.y..<min(plate.y + plate.height, height) {
      for x in plate.x..<min(plate.x + plate.width, width) {
        if x < plate.x + plate.barWidth {
          blend(x, y, plate.color, 1)
        } else {
          blend(x, y, Color(red: 16, green: 18, blue: 24), 0.8)
        }
      }
    }
    let scale = plate.scale
    for (index, character) in plate.characters.enumerated() {
      let left = plate.textX + index * BitmapFont.advance * scale
      for (row, bits) in BitmapFont.glyph(character).enumerated() {
        for column in 0..<BitmapFont.glyphWidth where bits >> (BitmapFont.glyphWidth - 1 - column) & 1 == 1 {
          for y in plate.textY + row * scale..<plate.textY + (row + 1) * scale where y < height {
            for x in left + column * scale..<left + (column + 1) * scale where x < width {
              blend(x, y, Color(red: 255, green: 255, blue: 255), 1)
            }
          }
        }
      }
    }
  }
}
