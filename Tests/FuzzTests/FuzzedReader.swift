import Checkpoints
import Foundation
import Imaging
import Masks
import Osprey
import Testing
import Wire

/// A reader of bytes from outside, as the fuzzer sees it.
struct FuzzedReader: Sendable, CustomTestStringConvertible {
  let name: String
  /// Whole files of the format, from the fixtures of the other tests.
  let seeds: @Sendable () throws -> [[UInt8]]
  var words: [String] = []
  /// Makes checksums right again, so that a change reaches further than them.
  var repair: @Sendable ([UInt8]) -> [UInt8] = { $0 }
  /// Reads an input, which also lies in the file; throws what the reader throws.
  let read: @Sendable (_ input: [UInt8], _ path: String) throws -> Void

  var testDescription: String { name }

  static let all = [
    safetensors, index, torchZip, torchLegacy, gguf, labeler, npy, runs, png, jpeg, request, sentencePiece, config,
    annotations, configuration,
  ]

  private static let safetensors = FuzzedReader(
    name: "safetensors",
    seeds: { try fixtures(["Checkpoints/expected.safetensors"]) },
    words: [
      "F32", "BF16", "I64", "BOOL", #""shape":["#, #""dtype":"#, #""data_offsets":["#, "__metadata__", "\\ud83d\\ude00",
    ],
    read: { try readCheckpoint($1) })

  private static let index = FuzzedReader(
    name: "index", seeds: { [Array(#"{"metadata":{"a":1.5},"weight_map":{"a":"b","c":"d\u0041"}}"#.utf8)] },
    words: [#""weight_map":{"#, #"":""#, "..", "/"], read: { _ = try ShardedCheckpoint(index: $1) })

  private static let torchZip = FuzzedReader(
    name: "torch-zip",
    seeds: { try fixtures(["plain.pth", "wrapped.pt", "nested.bin", "evil.pth"].map { "Checkpoints/" + $0 }) },
    words: torchWords + [
      "PK\u{1}\u{2}", "PK\u{3}\u{4}", "PK\u{5}\u{6}", "PK\u{6}\u{6}", "PK\u{6}\u{7}", "data.pkl",
    ],
    read: { try readCheckpoint($1) })

  private static let torchLegacy = FuzzedReader(
    name: "torch-legacy", seeds: { try fixtures(["Checkpoints/legacy.pth"]) }, words: torchWords,
    read: { try readCheckpoint($1) })

  private static let npy = FuzzedReader(
    name: "npy", seeds: { [npySeed("<f4", shape: "(2, 3)"), npySeed("<f8", shape: "(3,)")] },
    words: ["'descr': ", "'fortran_order': ", "True", "'shape': (", "'<f8'"],
    read: { _ = try NumpyFile.read($1).values })

  private static func npySeed(_ descr: String, shape: String) -> [UInt8] {
    let header = "{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }\n"
    var bytes: [UInt8] = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]
    bytes += [UInt8(header.utf8.count), 0]
    bytes += header.utf8
    return bytes + [UInt8](repeating: 1, count: 24)
  }

  private static let runs = FuzzedReader(name: "rle", seeds: runSeeds, read: { input, _ in try readRuns(input) })

  @Sendable private static func runSeeds() throws -> [[UInt8]] {
    struct Golden: Decodable { let height, width: Int; let compressed: String }
    let goldens = try JSONDecoder().decode([Golden].self, from: Data(fixtures(["Masks/masks.json"])[0]))
    return goldens.filter { $0.height < 256 && $0.width < 256 }
      .map { [UInt8($0.height), UInt8($0.width)] + Array($0.compressed.utf8) }
  }

  private static let png = FuzzedReader(
    name: "png", seeds: { try pictures("png") },
    words: ["IHDR", "PLTE", "tRNS", "IDAT", "IEND", "iCCP", "zTXt", "eXIf", "acTL"], repair: PNGChunks.repaired,
    read: { input, _ in _ = try Image.decode(input, limits: limits) })

  private static let jpeg = FuzzedReader(
    name: "jpeg", seeds: { try pictures("jpeg") },
    words: ["\u{1}\u{2}", "Exif\0\0II*\0", "Exif\0\0MM\0*", "Adobe", "JFIF"],
    read: { input, _ in _ = try Image.decode(input, limits: limits) })

  private static let request = FuzzedReader(
    name: "request", seeds: { requests },
    words: [
      #""op":"label""#, #""masks":["#, #""counts":"#, #""box":["#, #""points":["#, "NaN", "-Infinity", "null", "1e999",
      "\\ud800", #""stamp":{"#, #""auto":{"#, #""vocabulary":["#,
    ],
    read: { input, _ in
      do { _ = try Request(header: input, blobs: 2) } catch let refused as RefusedRequest { throw refused.error }
    })

  private static let sentencePiece = FuzzedReader(
    name: "sentencepiece", seeds: { try fixtures(["Osprey/tokenizer.model", "Osprey/plain.model"]) },
    words: ["<0x41>", "<s>", "</s>", "<unk>", "\u{2581}", "\u{18}\u{6}"],
    read: { _, path in
      let tokenizer = try SentencePieceTokenizer(path: path)
      _ = tokenizer.decode(tokenizer.encode("a cup on the table, 日本  \u{2581}é\n"))
    })

  private static let config = FuzzedReader(
    name: "config", seeds: { try fixtures(["Osprey/grouped.config.json", "Osprey/plain_heads.config.json"]) },
    words: [#""rope_scaling":{"type":"linear","factor":2}"#, "null", "true", #""eos_token_id":[1,2]"#],
    read: { _ = try LlamaConfiguration(path: $1) })

  private static let torchWords = [
    "collections\nOrderedDict\n", "torch._utils\n_rebuild_tensor_v2\n", "torch\nFloatStorage\n", "os\nsystem\n",
    "storage",
    "cpu", "}(", "tR", "\u{2}h\0", "q\0h\0", "(((((", "]]]]]",
  ]

  private static let limits = DecodeLimits(maxWidth: 4096, maxHeight: 4096, maxPixels: 1 << 20)

  private static func readCheckpoint(_ path: String) throws {
    let checkpoint = try openCheckpoint(path)
    for key in checkpoint.keys { _ = try checkpoint.tensor(key) }
  }

  /// Two bytes of size, then the runs; what is read must be a mask that goes there and back.
  private static func readRuns(_ input: [UInt8]) throws {
    guard input.count > 2 else { return }
    let text = String(decoding: input.dropFirst(2), as: UTF8.self)
    let runs = try RunLengthEncoding(height: Int(input[0]), width: Int(input[1]), compressed: text)
    let mask = runs.bitMask()
    precondition(mask.area == runs.area && RunLengthEncoding(mask).area == runs.area)
    precondition(RunLengthEncoding.iou(runs, runs) == (runs.area == 0 ? 0 : 1))
    let again = try RunLengthEncoding(height: runs.height, width: runs.width, compressed: runs.compressed)
    precondition(again == runs)
    _ = (runs.bbox, mask.polygons(), mask.inclusiveBox())
  }

  private static let requests: [[UInt8]] = [
    #"{"v":1,"op":"hello"}"#,
    #"{"v":1,"id":"q","op":"segment","image":{"blob":0,"encoding":"jpeg"},"prompts":[{"points":[[5,5],[6.5,7]],"point_labels":[1,0],"box":[0,0,9,9],"mask_input":{"blob":1}}],"multimask":true,"deadline_ms":100,"priority":-1,"stamp":{"sec":1,"nanosec":2},"frame_id":"cam"}"#,
    #"{"v":1,"id":"q","op":"label","image":{"blob":0,"encoding":"bgr8","width":4,"height":4,"step":12},"masks":[{"segmentation":{"size":[9,7],"counts":"93d00M3"}},{"segmentation":{"size":[2,2],"counts":[1,2,1]}},{"blob":1}],"max_tokens":8,"stream":true}"#,
    #"{"v":1,"op":"label","image":{"blob":0,"encoding":"png"},"auto":{"points_per_side":8},"vocabulary":["cup","tafel \u00e9"],"question":"what is <region1>?"}"#,
  ].map { Array($0.utf8) }

  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

  /// Files `ROOM/NAME` of the other tests.
  static func fixtures(_ names: [String]) throws -> [[UInt8]] {
    try names.map { name in
      let parts = name.split(separator: "/")
      return [UInt8](try Data(contentsOf: tests.appending(path: "\(parts[0])Tests/Fixtures/\(parts[1])")))
    }
  }

  private static func pictures(_ kind: String) throws -> [[UInt8]] {
    struct Golden: Decodable { let name: String; let file: Data }
    return try JSONDecoder().decode([Golden].self, from: Data(fixtures(["Imaging/decode.json"])[0]))
      .filter { $0.name.hasPrefix(kind) }.map { [UInt8]($0.file) }
  }
}

enum PNGChunks {
  /// The same chunks with their checksums right, as far as the lengths lead.
  static func repaired(_ bytes: [UInt8]) -> [UInt8] {
    var result = bytes
    var offset = 8
    while offset + 12 <= result.count {
      let length = result[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= result.count - offset - 12 else { break }
      let sum = checksum(result[offset + 4..<offset + 8 + length])
      for i in 0..<4 { result[offset + 8 + length + i] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * i)) }
      offset += 12 + length
    }
    return result
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? 0xedb8_8320 ^ (crc >> 1) : crc >> 1 }
  }

  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(0xffff_ffff) { table[Int(($0 ^ UInt32($1)) & 255)] ^ ($0 >> 8) }
  }
}
