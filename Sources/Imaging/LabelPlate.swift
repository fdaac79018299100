import Masks

/// Where a label stands: a dark plate with a bar of the mask's colour at its left.
struct LabelPlate {
  let characters: [UInt8]
  let color: Color
  let scale: Int
  let x: Int
  let y: Int
  let width: Int
  let height: Int

  private var padding: Int { 2 * scale }
  var barWidth: Int { 2 * scale }
  var textX: Int { x + barWidth + padding }
  var textY: Int { y + padding }

  /// - Returns: nil if there is no label, or the picture has no room for three letters.
  init?(for region: OverlayRegion, in image: Image, scale: Int, avoiding others: [LabelPlate]) {
    var characters = region.label.map(BitmapFont.characters) ?? []
    while characters.last == 32 { characters.removeLast() }
    guard !characters.isEmpty else { return nil }
    // Bar, padding on both sides, and no gap after the last letter.
    let around = 2 * scale + 4 * scale - scale
    let height = BitmapFont.glyphHeight * scale + 3 * scale
    let room = min((image.width - around) / (BitmapFont.advance * scale), 48)
    guard room >= 3, height <= image.height else { return nil }
    if characters.count > room {
      characters = characters.prefix(room - 2) + [UInt8](repeating: UInt8(ascii: "."), count: 2)
    }
    let width = characters.count * BitmapFont.advance * scale + around
    let place = Self.places(for: region, width: width, height: height, in: image)
      .map { place in (place, others.reduce(0) { $0 + $1.overlap(place.x, place.y, width, height) }) }
      .min { $0.1 < $1.1 }?.0
    guard let place else { return nil }
    (self.characters, color, self.scale) = (characters, region.color, scale)
    (x, y, self.width, self.height) = (place.x, place.y, width, height)
  }

  /// Places in order of liking: within the mask, above and below it, then ever farther from its middle.
  private static func places(
    for region: OverlayRegion, width: Int, height: Int, in image: Image
  ) -> [(x: Int, y: Int)] {
    let anchor = region.anchor
    let (left, top) = (anchor.x - width / 2, anchor.y - height / 2)
    let inside = (left, top)
    let above = (left, region.rows.lowerBound - height - 2)
    let below = (left, region.rows.upperBound + 3)
    // On a mask that is smaller than its plate, the plate would hide what it names.
    let isRoomy = region.columns.count > width && region.rows.count > height * 2
    var places = isRoomy ? [inside, above, below] : [above, below, inside]
    for distance in 1...6 {
      let (dx, dy) = (distance * width / 3, distance * (height + 2))
      places += [(left, top - dy), (left, top + dy), (left - dx, top), (left + dx, top)]
      places += [(left - dx, top - dy), (left + dx, top + dy), (left + dx, top - dy), (left - dx, top + dy)]
    }
    return places.map { (x: min(max($0.0, 0), image.width - width), y: min(max($0.1, 0), image.height - height)) }
  }

  /// The number of pixels that this plate shares with a rectangle.
  private func overlap(_ otherX: Int, _ otherY: Int, _ otherWidth: Int, _ otherHeight: Int) -> Int {
    let across = min(x + width, otherX + otherWidth) - max(x, otherX)
    let down = min(y + height, otherY + otherHeight) - max(y, otherY)
    return max(across, 0) * max(down, 0)
  }
}
