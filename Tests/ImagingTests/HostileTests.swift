import Foundation
import Testing

@testable import Imaging

/// Files made to break a decoder. Each test names the error that it expects.
@Suite struct HostileTests {
  private func error(_ bytes: [UInt8], limits: DecodeLimits = .default) -> ImagingError? {
    do throws(ImagingError) {
      _ = try Image.decode(bytes, limits: limits)
      return nil
    } catch { return error }
  }

  private func bigEndian(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }

  private func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + data
    var crc: UInt32 = 0xffff_ffff
    for byte in body {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? 0xedb8_8320 ^ (crc >> 1) : crc >> 1 }
    }
    return bigEndian(data.count) + body + bigEndian(Int(~crc))
  }

  private let signature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

  /// A PNG of the given size that has no pixels.
  private func pngHeader(_ width: Int, _ height: Int, depth: UInt8 = 8, color: UInt8 = 2) -> [UInt8] {
    signature + chunk("IHDR", bigEndian(width) + bigEndian(height) + [depth, color, 0, 0, 0])
  }

  /// A valid small picture of each format.
  private func samples() throws -> [(format: ImageFormat, bytes: [UInt8])] {
    let image = Image.pattern(width: 37, height: 29)
    let goldens: [Goldens.Picture] = try Goldens.read("decode.json")
    let more = goldens.filter {
      ["jpeg-37x29-420-progressive", "jpeg-ycck-quality60", "jpeg-grey", "png-color3-depth4-trns-interlaced"]
        .contains($0.name)
    }
    #expect(more.count == 4)
    return try [(.png, image.encodedPNG()), (.jpeg, image.encodedJPEG())]
      + more.map { ($0.name.hasPrefix("png") ? .png : .jpeg, [UInt8]($0.file)) }
  }

  @Test func sizesOverTheLimitsAreTooLarge() {
    #expect(error(pngHeader(100_000, 100_000)) == .tooLarge(quantity: "width", value: 100_000, limit: 16_384))
    #expect(error(pngHeader(1, 100_000)) == .tooLarge(quantity: "height", value: 100_000, limit: 16_384))
    #expect(error(pngHeader(16_384, 16_384)) == .tooLarge(quantity: "pixels", value: 1 << 28, limit: 1 << 26))
    #expect(error(pngHeader(0x7fff_ffff, 1)) == .tooLarge(quantity: "width", value: 0x7fff_ffff, limit: 16_384))
    #expect(
      error(pngHeader(0xffff_ffff, 0xffff_ffff))
        == .tooLarge(quantity: "width", value: 0xffff_ffff, limit: 16_384))
    let frame: [UInt8] = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0]
    let scan: [UInt8] = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]
    #expect(error(frame + scan) == .tooLarge(quantity: "width", value: 65_535, limit: 16_384))
    let limits = DecodeLimits(maxBytes: 10)
    #expect(
      error([UInt8](repeating: 0, count: 11), limits: limits)
        == .tooLarge(quantity: "bytes", value: 11, limit: 10))
    let boundless = DecodeLimits(maxWidth: .max, maxHeight: .max, maxPixels: 1 << 20, maxBytes: .max)
    #expect(
      error(pngHeader(0xffff_ffff, 0xffff_ffff), limits: boundless)
        == .tooLarge(quantity: "pixels", value: .max, limit: 1 << 20))
  }

  @Test func aLargePhotographIsNotTooLarge() throws {
    try DecodeLimits.default.check(width: 6000, height: 4000)
    try DecodeLimits.default.check(width: 8192, height: 8192)
    try DecodeLimits.default.check(width: 4000, height: 16_384)
  }

  @Test func whatIsNoPictureHasAnUnknownFormat() {
    #expect(error([]) == .unknownFormat)
    #expect(error([0]) == .unknownFormat)
    #expect(error(Array("GIF89a".utf8)) == .unknownFormat)
    #expect(error([UInt8](repeating: 0, count: 10_000)) == .unknownFormat)
    var noise = Noise(seed: 11)
    for _ in 0..<2000 {
      let bytes = (0..<noise.next(200)).map { _ in UInt8(noise.next(256)) }
      #expect(error(bytes) != nil)
    }
  }

  @Test func aFileCutAnywhereIsTruncated() throws {
    for (format, bytes) in try samples() {
      for length in 1..<bytes.count {
        switch error(Array(bytes[..<length])) {
        case .truncated(let cut, _): #expect(cut == format)
        case let other: Issue.record("\(format) cut to \(length) of \(bytes.count): \(String(describing: other))")
        }
      }
    }
  }

  @Test func aLargeFileCutAtEvery64KiBIsTruncated() throws {
    var noise = Noise(seed: 9)
    let image = Image(
      width: 1100, height: 1000, pixels: (0..<1100 * 1000 * 3).map { _ in UInt8(truncatingIfNeeded: noise.next(256)) })
    for (format, bytes) in try [(ImageFormat.png, image.encodedPNG()), (.jpeg, image.encodedJPEG(quality: 95))] {
      #expect(bytes.count > 1 << 20)
      for length in stride(from: 1 << 16, to: bytes.count, by: 1 << 16) {
        switch error(Array(bytes[..<length])) {
        case .truncated(let cut, _): #expect(cut == format)
        case let other: Issue.record("\(format) cut to \(length) of \(bytes.count): \(String(describing: other))")
        }
      }
    }
  }

  @Test func brokenContentIsMalformed() throws {
    func isMalformed(_ bytes: [UInt8], _ format: ImageFormat) -> Bool {
      if case .malformed(let found, let reason) = error(bytes) { return found == format && !reason.isEmpty }
      return false
    }
    #expect(isMalformed(pngHeader(0, 5), .png))
    #expect(isMalformed(pngHeader(5, 5, depth: 3) + chunk("IEND", []), .png))
    #expect(isMalformed(pngHeader(5, 5, color: 3) + chunk("IDAT", [1, 2, 3]) + chunk("IEND", []), .png))
    #expect(isMalformed(pngHeader(5, 5) + chunk("IDAT", [1, 2, 3]) + chunk("IEND", []), .png))
    #expect(isMalformed(pngHeader(5, 5) + chunk("IEND", []), .png))
    #expect(isMalformed(signature + chunk("IDAT", [UInt8](repeating: 0, count: 30)), .png))
    // The checksum of the header is wrong.
    var png = try samples()[0].bytes
    png[30] ^= 1
    #expect(isMalformed(png, .png))
    #expect(isMalformed([0xff, 0xd8, 0xff, 0xd9, 0, 0], .jpeg))
    #expect(isMalformed([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0], .jpeg))
    #expect(isMalformed([0xff, 0xd8, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0], .jpeg))
    // No Huffman tables.
    let frame: [UInt8] = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]
    let scan: [UInt8] = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9]
    #expect(isMalformed(frame + scan, .jpeg))
    // Twelve bits a sample.
    var deep = frame
    deep[6] = 12
    #expect(isMalformed(deep + scan, .jpeg))
  }

  /// A PNG of few pixels whose data and texts inflate to much more is read in the time that its pixels take.
  @Test func whatInflatesBeyondThePictureIsNotInflated() throws {
    // One stored byte of zlib gives about a thousand: 8 MB of zeros in a few kilobytes.
    let zeros = try Image(width: 1600, height: 1600, pixels: [UInt8](repeating: 0, count: 1600 * 1600 * 3)).encodedPNG()
    var offset = 33
    var data: [UInt8] = []
    while offset + 12 <= zeros.count {
      let length = zeros[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
      if zeros[offset + 4..<offset + 8].elementsEqual("IDAT".utf8) {
        data += zeros[offset + 8..<offset + 8 + length]
      }
      offset += 12 + length
    }
    let text = Array("Comment\0\0".utf8) + data
    let bomb = pngHeader(4, 4) + chunk("zTXt", text) + chunk("iCCP", text) + chunk("IDAT", data) + chunk("IEND", [])
    // libpng lets surplus data pass with a warning, and so does Pillow; the pixels are all there.
    let start = ContinuousClock.now
    #expect(try Image.decode(bomb).pixels == [UInt8](repeating: 0, count: 48))
    #expect(ContinuousClock.now - start < .seconds(1))
  }

  /// Each scan of a progressive JPEG costs a pass over the picture, so their number is bounded.
  @Test func tooManyScansAreMalformed() throws {
    let goldens: [Goldens.Picture] = try Goldens.read("decode.json")
    let golden = try #require(goldens.first { $0.name == "jpeg-37x29-420-progressive" })
    let file = [UInt8](golden.file)
    // The first scan can be read again and again: the picture's means, whole.
    let marker = { (from: Int, codes: ClosedRange<UInt8>) in
      (from..<file.count - 1).first { file[$0] == 0xff && codes.contains(file[$0 + 1]) }
    }
    let start = try #require(marker(0, 0xda...0xda))
    let end = try #require(marker(start + 2, 0xc0...0xfe))
    let bytes = Array(file[..<end]) + (0..<500).flatMap { _ in file[start..<end] } + file[end...]
    #expect(error(bytes) == .malformed(format: .jpeg, reason: "it has more than 64 scans"))
  }

  /// The scans of a progressive JPEG are kept until the last: six bytes a pixel, whatever the file's length.
  @Test func progressiveFilesOfManyPixelsAreRefused() {
    let components: [UInt8] = [1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]
    let frame: [UInt8] = [0xff, 0xd8, 0xff, 0xc2, 0, 17, 8, 0x10, 0, 0x40, 0, 3] + components
    let scan: [UInt8] = [0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0xff, 0xd9]
    #expect(error(frame + scan) == .malformed(format: .jpeg, reason: "its scans need over 256 MiB"))
  }

  @Test func filesThatAreNoneCannotBeOpened() throws {
    #expect(throws: ImagingError.cannotOpen(path: "/", reason: "not a regular file")) { try Image.load(path: "/") }
    #expect(throws: ImagingError.cannotOpen(path: "/dev/zero", reason: "not a regular file")) {
      try Image.load(path: "/dev/zero")
    }
    #expect(throws: ImagingError.cannotOpen(path: "/no/such", reason: "No such file or directory")) {
      try Image.load(path: "/no/such")
    }
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("pandion-\(UUID().uuidString).png").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let image = Image.pattern(width: 9, height: 7)
    try Data(image.encodedPNG()).write(to: URL(fileURLWithPath: path))
    #expect(try Image.load(path: path) == image)
    #expect(throws: ImagingError.self) { try Image.load(path: path, limits: DecodeLimits(maxBytes: 20)) }
    #expect(throws: ImagingError.cannotOpen(path: #filePath, reason: "the picture is neither a PNG nor a JPEG")) {
      try Image.load(path: #filePath)
    }
  }
}

/// A small deterministic generator (SplitMix64).
struct Noise {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  /// - Returns: a number below `bound`, 0 if that is 0.
  mutating func next(_ bound: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return bound == 0 ? 0 : Int((z ^ (z >> 31)) % UInt64(bound))
  }
}
