import Testing

@testable import Masks

@Suite struct RunLengthEncodingTests {
  @Test func agreesWithPycocotools() throws {
    let goldens: [Goldens.Mask] = try Goldens.read("masks.json")
    #expect(goldens.count >= 200)
    var last: RunLengthEncoding?
    for (index, golden) in goldens.enumerated() {
      let mask = golden.bitMask
      let rle = RunLengthEncoding(mask)
      #expect(rle.counts == golden.counts, "mask \(index)")
      #expect(rle.compressed == golden.compressed, "mask \(index)")
      #expect(rle.area == golden.area, "mask \(index)")
      #expect(rle.area == mask.area, "mask \(index)")
      #expect([rle.bbox.x, rle.bbox.y, rle.bbox.width, rle.bbox.height] == golden.bbox, "mask \(index)")
      #expect(rle.bitMask() == mask, "mask \(index)")
      let read = try RunLengthEncoding(height: golden.height, width: golden.width, compressed: golden.compressed)
      #expect(read == rle, "mask \(index)")
      #expect(try RunLengthEncoding(height: golden.height, width: golden.width, counts: golden.counts) == rle)
      if let expected = golden.iouWithLast, let last {
        #expect(RunLengthEncoding.iou(rle, last) == expected, "mask \(index)")
        #expect(mask.iou(last.bitMask()) == expected, "mask \(index)")
      }
      if let box = mask.inclusiveBox() {
        #expect(
          box
            == Box(
              x0: Float(rle.bbox.x), y0: Float(rle.bbox.y), x1: Float(rle.bbox.x + rle.bbox.width - 1),
              y1: Float(rle.bbox.y + rle.bbox.height - 1)))
      } else {
        #expect(rle.area == 0)
      }
      last = rle
    }
  }

  @Test func aMaskWithoutPixelsGoesThereAndBack() throws {
    for (height, width) in [(0, 0), (0, 5), (5, 0)] {
      let rle = RunLengthEncoding(BitMask(width: width, height: height))
      #expect(rle.counts == [0])
      #expect(rle.compressed == "0")
      #expect(rle.bbox == (0, 0, 0, 0))
      #expect(rle.bitMask().bits.isEmpty)
      #expect(try RunLengthEncoding(height: height, width: width, compressed: "0") == rle)
    }
  }

  @Test func emptyRunsAreKeptAndHarmless() throws {
    let rle = try RunLengthEncoding(height: 2, width: 3, counts: [1, 0, 2, 0, 0, 2, 1, 0])
    #expect(rle.area == 2)
    #expect(rle.bbox == (1, 0, 2, 2))
    #expect(rle.bitMask().bits == [0, 0, 1, 0, 1, 0])
    #expect(RunLengthEncoding.iou(rle, RunLengthEncoding(rle.bitMask())) == 1)
    #expect(try RunLengthEncoding(height: 2, width: 3, compressed: rle.compressed) == rle)
  }

  @Test func masksOfDifferentSizesShareNothing() {
    let a = BitMask(width: 2, height: 1, bits: [1, 1])
    let b = BitMask(width: 1, height: 2, bits: [1, 1])
    #expect(a.iou(b) == 0)
    #expect(RunLengthEncoding.iou(RunLengthEncoding(a), RunLengthEncoding(b)) == 0)
  }

  @Test func refusesWhatIsNoMask() {
    func error(_ height: Int, _ width: Int, _ text: String) -> MaskError? {
      do throws(MaskError) {
        _ = try RunLengthEncoding(height: height, width: width, compressed: text)
        return nil
      } catch { return error }
    }
    #expect(error(2, 2, "") == .runsTooShort(sum: 0, expected: 4))
    #expect(error(2, 2, "3") == .runsTooShort(sum: 3, expected: 4))
    #expect(error(2, 2, "5") == .runOutOfBounds(index: 0, run: 5, remaining: 4))
    #expect(error(2, 2, "O") == .runOutOfBounds(index: 0, run: -1, remaining: 4))
    #expect(error(2, 2, "2o") == .truncated)
    #expect(error(2, 2, "2 2") == .unexpectedCharacter(byte: 32, offset: 1))
    #expect(error(2, 2, "2é") == .unexpectedCharacter(byte: 0xc3, offset: 1))
    #expect(error(2, 2, String(repeating: "P", count: 100_000)) == .unexpectedCharacter(byte: 80, offset: 11))
    #expect(error(-1, 2, "0") == .sizeOutOfBounds(height: -1, width: 2))
    #expect(error(.max, .max, "0") == .sizeOutOfBounds(height: .max, width: .max))
    #expect(error(1 << 16, 1 << 16, "0") == .sizeOutOfBounds(height: 1 << 16, width: 1 << 16))
    #expect(throws: MaskError.runOutOfBounds(index: 1, run: .max, remaining: 3)) {
      try RunLengthEncoding(height: 2, width: 2, counts: [1, .max])
    }
    #expect(throws: MaskError.runOutOfBounds(index: 0, run: .min, remaining: 4)) {
      try RunLengthEncoding(height: 2, width: 2, counts: [.min])
    }
  }

  @Test func aLongStringCutAtEvery64KiBIsTooShort() throws {
    // A checkerboard: every pixel is a run.
    let (width, height) = (1999, 1999)
    let text = RunLengthEncoding(
      BitMask(width: width, height: height, bits: (0..<width * height).map { UInt8($0 % 2) })
    ).compressed
    #expect(text.utf8.count > 3 << 20)
    for length in stride(from: 0, to: text.utf8.count, by: 1 << 16) {
      let cut = String(text.utf8.prefix(length)) ?? ""
      do throws(MaskError) {
        _ = try RunLengthEncoding(height: height, width: width, compressed: cut)
        Issue.record("cut at \(length) was read")
      } catch {
        switch error {
        case .runsTooShort(let sum, let expected): #expect(sum < expected && expected == width * height)
        case .truncated: break
        default: Issue.record("cut at \(length): \(error)")
        }
      }
    }
  }

  @Test func readsAnyStringWithoutHarm() {
    var noise = Noise(seed: 7)
    for _ in 0..<20_000 {
      let text = String(decoding: (0..<noise.next(12)).map { _ in UInt8(48 + noise.next(66)) }, as: UTF8.self)
      guard let rle = try? RunLengthEncoding(height: 5, width: 7, compressed: text) else { continue }
      #expect(rle.counts.reduce(0, +) == 35)
      #expect(rle.bitMask().area == rle.area)
      _ = rle.bbox
    }
  }

  @Test func randomMasksGoThereAndBack() throws {
    var noise = Noise(seed: 1)
    for _ in 0..<500 {
      let (width, height) = (1 + noise.next(40), 1 + noise.next(40))
      let density = noise.next(101)
      let mask = BitMask(
        width: width, height: height, bits: (0..<width * height).map { _ in noise.next(100) < density ? 1 : 0 })
      let rle = RunLengthEncoding(mask)
      #expect(rle.bitMask() == mask)
      #expect(try RunLengthEncoding(height: height, width: width, compressed: rle.compressed) == rle)
      #expect(rle.counts.dropFirst().allSatisfy { $0 > 0 })
    }
  }
}

/// A small deterministic generator (SplitMix64).
struct Noise {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  /// - Returns: a number below `bound`.
  mutating func next(_ bound: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return Int((z ^ (z >> 31)) % UInt64(bound))
  }
}
