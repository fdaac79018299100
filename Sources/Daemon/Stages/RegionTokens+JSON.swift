import Osprey
import Tensors
import Wire

/// The tokens of regions between the workers of stages "extract" and "language": a blob `[n, 2, D]`, for each region the
/// vector in the place of `<mask>` and that in the place of `<pos>`; and how each region fell on the feature levels.
struct SentRegions {
  /// For each region `{"mask": its index, "levels": [{"level","cells"}]}`, as it is in JSON.
  var regions: [JSONValue] = []
  var columns = 0
  var bytes: [UInt8] = []

  var fields: [(String, JSONValue?)] {
    [
      ("regions", .array(regions)),
      (
        "tokens",
        JSONValue(entries: [
          ("blob", .integer(0)), ("dtype", .string("float32")),
          ("shape", .array([.integer(regions.count), .integer(2), .integer(columns)])),
        ])
      ),
    ]
  }

  init(_ tokens: [RegionTokens]) {
    for (index, region) in tokens.enumerated() {
      let levels = region.levels.map {
        JSONValue(entries: [("level", .string($0.level)), ("cells", .integer($0.cells))])
      }
      regions.append(JSONValue(entries: [("mask", .integer(index)), ("levels", .array(levels))]))
      bytes += LittleEndian.bytes(region.mask.values) + LittleEndian.bytes(region.position.values)
      columns = region.mask.count
    }
  }

  /// - Returns: nil for what are no regions.
  init?(_ json: JSONValue, blobs: [[UInt8]]) {
    guard let regions = json["regions"]?.array, let blob = json["tokens"]?["blob"]?.integer,
      blobs.indices.contains(blob), let shape = json["tokens"]?["shape"]?.array?.compactMap(\.integer),
      shape.count == 3, shape[0] == regions.count, shape[1] == 2, (0...1 << 20).contains(shape[2]),
      blobs[blob].count == 8 * shape[0] * shape[2]
    else { return nil }
    (self.regions, columns, bytes) = (regions, shape[2], blobs[blob])
  }

  /// Whether they are the regions of all of so many masks, in the order of these, and say how each fell on the levels.
  func areRegions(of count: Int) -> Bool {
    regions.count == count
      && regions.enumerated().allSatisfy { index, region in
        region["mask"]?.integer == index
          && region["levels"]?.array?.allSatisfy {
            $0["level"]?.string != nil && (0...1 << 32).contains($0["cells"]?.integer ?? -1)
          } == true
      }
  }

  /// The same regions under other indices of masks.
  func renumbered(_ masks: [Int]) -> SentRegions {
    var copy = self
    copy.regions = zip(masks, regions).map { mask, region in
      JSONValue(entries: [("mask", .integer(mask)), ("levels", region["levels"])])
    }
    return copy
  }

  /// By index of mask.
  ///
  /// - Parameter width: the language model's.
  func tokens(width: Int) throws(WireError) -> [Int: RegionTokens] {
    guard columns == width || regions.isEmpty else {
      throw WireError(.internal, "the regions' tokens have \(columns) numbers, this language model takes \(width)")
    }
    guard let values = LittleEndian.floats(bytes) else {
      throw WireError(.internal, "the regions' tokens are not all finite")
    }
    var tokens: [Int: RegionTokens] = [:]
    for (place, region) in regions.enumerated() {
      guard let mask = region["mask"]?.integer, let given = region["levels"]?.array else {
        throw WireError(.internal, "regions[\(place)] has no mask or no levels")
      }
      let levels = given.compactMap { level in
        level["level"]?.string.flatMap { name in
          level["cells"]?.integer.map { LevelEvidence(level: name, cells: $0) }
        }
      }
      let start = 2 * place * columns
      tokens[mask] = RegionTokens(
        mask: Tensor([columns], Array(values[start..<start + columns])),
        position: Tensor([columns], Array(values[start + columns..<start + 2 * columns])), levels: levels)
    }
    return tokens
  }
}

/// Words between a worker of stage "language" and the daemon.
extension Words {
  var json: JSONValue {
    JSONValue(entries: [
      ("label", .string(label)), ("description", description.map { .string($0) }),
      ("score", score.map { JSONValue($0) }),
      ("alternatives", .array(alternatives.map { .array([.string($0.label), JSONValue($0.score)]) })),
      ("evidence", evidence),
    ])
  }

  /// - Returns: nil for what are no words.
  init?(_ json: JSONValue) {
    guard let label = json["label"]?.string else { return nil }
    func score(_ value: JSONValue?) -> Float? { value?.double.map { Float($0) }.flatMap { $0.isFinite ? $0 : nil } }
    self.init(
      label: label, description: json["description"]?.string, score: score(json["score"]),
      alternatives: (json["alternatives"]?.array ?? []).compactMap { pair in
        pair[0]?.string.flatMap { word in score(pair[1]).map { (label: word, score: $0) } }
      }, evidence: json["evidence"])
    if let evidence, evidence.firstNotFinite() != nil { return nil }
  }
}
