import Testing

@testable import Masks

@Suite struct RegionTests {
  @Test func agreesWithSAMsRemoveSmallRegions() throws {
    let goldens: [Goldens.Mask] = try Goldens.read("masks.json")
    for (index, golden) in goldens.enumerated() {
      for region in golden.regions {
        let (mask, changed) = golden.bitMask.removingSmallRegions(
          area: region.area, mode: region.mode == "holes" ? .holes : .islands)
        #expect(changed == region.changed, "mask \(index), \(region.mode) < \(region.area)")
        #expect(
          RunLengthEncoding(mask).compressed == region.compressed, "mask \(index), \(region.mode) < \(region.area)")
      }
    }
  }

  @Test func componentsArePiecesOfTheMask() {
    let mask = BitMask(
      width: 5, height: 3,
      bits: [
        1, 0, 0, 1, 0,
        0, 1, 0, 0, 0,
        0, 0, 0, 1, 1,
      ])
    let pieces = mask.connectedComponents()
    #expect(pieces.map(\.area) == [2, 1, 2])
    #expect(pieces[0][0, 0] && pieces[0][1, 1])
  }

  @Test func polygonsFilledAgainAreTheMaskWithoutHoles() {
    var noise = Noise(seed: 3)
    for _ in 0..<300 {
      let (width, height) = (1 + noise.next(24), 1 + noise.next(24))
      let density = noise.next(101)
      let mask = BitMask(
        width: width, height: height, bits: (0..<width * height).map { _ in noise.next(100) < density ? 1 : 0 })
      #expect(filled(mask.polygons(), width, height) == withoutHoles(mask))
    }
  }

  @Test func aSquareHasFourCorners() {
    var mask = BitMask(width: 6, height: 5)
    for y in 1..<4 { for x in 2..<5 { mask[x, y] = true } }
    #expect(mask.polygons() == [[5, 1, 5, 4, 2, 4, 2, 1]])
  }

  @Test func masksWithoutPixelsDoNoHarm() {
    for (width, height) in [(0, 0), (0, 4), (4, 0)] {
      let mask = BitMask(width: width, height: height)
      #expect(mask.inclusiveBox() == nil)
      #expect(mask.polygons().isEmpty)
      #expect(mask.connectedComponents().isEmpty)
      #expect(mask.removingSmallRegions(area: 10, mode: .holes) == (mask, false))
      #expect(mask.removingSmallRegions(area: 10, mode: .islands) == (mask, false))
      #expect(labelMap([RunLengthEncoding(mask)], width: width, height: height).isEmpty)
    }
  }

  @Test func theLabelMapShowsSmallMasksOnLargeOnes() {
    let all = BitMask(width: 3, height: 1, bits: [1, 1, 1])
    let part = BitMask(width: 3, height: 1, bits: [0, 1, 0])
    let twin = BitMask(width: 3, height: 1, bits: [0, 1, 0])
    #expect(labelMap([all, part, twin].map { RunLengthEncoding($0) }, width: 3, height: 1) == [1, 2, 1])
    #expect(labelMap([part, all].map { RunLengthEncoding($0) }, width: 3, height: 1) == [2, 1, 2])
    #expect(labelMap([], width: 2, height: 1) == [0, 0])
  }

  /// Even-odd at the centres of the pixels, each polygon for itself.
  private func filled(_ polygons: [[Float]], _ width: Int, _ height: Int) -> BitMask {
    var mask = BitMask(width: width, height: height)
    for polygon in polygons {
      let corners = stride(from: 0, to: polygon.count, by: 2).map { (polygon[$0], polygon[$0 + 1]) }
      for y in 0..<height {
        for x in 0..<width {
          let (px, py) = (Float(x) + 0.5, Float(y) + 0.5)
          var inside = false
          for i in corners.indices {
            let (a, b) = (corners[i], corners[(i + 1) % corners.count])
            if (a.1 > py) != (b.1 > py), px < a.0 { inside.toggle() }
          }
          if inside { mask[x, y] = true }
        }
      }
    }
    return mask
  }

  /// Everything that cannot be reached from outside the picture, where also corners are ways through, as a polygon of a
  /// piece that touches itself only at a corner does not close there.
  private func withoutHoles(_ mask: BitMask) -> BitMask {
    let (width, height) = (mask.width + 2, mask.height + 2)
    var outside = [Bool](repeating: false, count: width * height)
    var stack = [(0, 0)]
    outside[0] = true
    while let (x, y) = stack.popLast() {
      for dy in -1...1 {
        for dx in -1...1 {
          let (nx, ny) = (x + dx, y + dy)
          guard nx >= 0, ny >= 0, nx < width, ny < height, !outside[ny * width + nx] else { continue }
          let inPicture = nx > 0 && ny > 0 && nx <= mask.width && ny <= mask.height
          if inPicture, mask[nx - 1, ny - 1] { continue }
          outside[ny * width + nx] = true
          stack.append((nx, ny))
        }
      }
    }
    var result = mask
    for y in 0..<mask.height {
      for x in 0..<mask.width where !outside[(y + 1) * width + x + 1] { result[x, y] = true }
    }
    return result
  }
}
