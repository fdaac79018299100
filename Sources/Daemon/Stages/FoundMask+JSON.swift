import Masks
import Wire

/// Numbers as they lie in blobs.
enum LittleEndian {
  static func bytes(_ values: [Float]) -> [UInt8] {
    values.map(\.bitPattern.littleEndian).withUnsafeBytes { Array($0) }
  }

  /// - Returns: nil for bytes that are no float32 numbers, or not all finite.
  static func floats(_ bytes: [UInt8]) -> [Float]? {
    guard bytes.count % 4 == 0 else { return nil }
    let values = bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map {
        Float(bitPattern: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
      }
    }
    return values.allSatisfy(\.isFinite) ? values : nil
  }
}

/// A mask between a worker and the daemon: SAM's names, as in replies.
extension FoundMask {
  /// - Parameter blobs: gets the logits.
  func json(_ blobs: inout [[UInt8]]) -> JSONValue {
    var logitsJSON: JSONValue?
    if let logits {
      logitsJSON = JSONValue(entries: [
        ("blob", .integer(blobs.count)), ("dtype", .string("float32")),
        ("shape", .array([.integer(logits.height), .integer(logits.width)])),
      ])
      blobs.append(LittleEndian.bytes(logits.values))
    }
    return JSONValue(entries: [
      (
        "segmentation",
        JSONValue(entries: [
          ("size", .array([.integer(mask.height), .integer(mask.width)])), ("counts", .string(mask.compressed)),
        ])
      ),
      ("predicted_iou", predictedIoU.map { JSONValue($0) }), ("stability_score", stabilityScore.map { JSONValue($0) }),
      ("point_coords", pointCoords.map { .array($0.map { .array([JSONValue($0.x), JSONValue($0.y)]) }) }),
      ("crop_box", cropBox.map { .array($0.map { .integer($0) }) }), ("logits", logitsJSON),
    ])
  }

  /// - Returns: nil for what is no mask.
  init?(_ json: JSONValue, blobs: [[UInt8]]) {
    guard let size = json["segmentation"]?["size"], let height = size[0]?.integer, let width = size[1]?.integer,
      let counts = json["segmentation"]?["counts"]?.string, (1...1 << 16).contains(height),
      (1...1 << 16).contains(width),
      let mask = try? RunLengthEncoding(height: height, width: width, compressed: counts)
    else { return nil }
    func score(_ key: String) -> Float? { json[key]?.double.map { Float($0) } }
    self.init(mask: mask, predictedIoU: score("predicted_iou"), stabilityScore: score("stability_score"))
    // The one is a network's guess, which may lie somewhat beside 0…1, the other a share.
    guard abs(predictedIoU ?? 0) <= 100, (0...1).contains(stabilityScore ?? 0) else { return nil }
    if let given = json["point_coords"]?.array {
      let points = given.compactMap { Self.point($0, width: width, height: height) }
      guard points.count == given.count else { return nil }
      pointCoords = points
    }
    if let given = json["crop_box"]?.array {
      let box = given.compactMap(\.integer)
      guard given.count == 4, box.count == 4, box[0] >= 0, box[1] >= 0, (1...width).contains(box[2]),
        (1...height).contains(box[3]), box[0] <= width - box[2], box[1] <= height - box[3]
      else { return nil }
      cropBox = box
    }
    if let given = json["logits"] {
      guard let index = given["blob"]?.integer, blobs.indices.contains(index),
        let height = given["shape"]?[0]?.integer, let width = given["shape"]?[1]?.integer,
        (1...1 << 14).contains(height), (1...1 << 14).contains(width),
        let values = LittleEndian.floats(blobs[index]), values.count == height * width
      else { return nil }
      logits = Logits(height: height, width: width, values: values)
    }
  }

  private static func point(_ json: JSONValue, width: Int, height: Int) -> Point<SourceFrame>? {
    guard let x = json[0]?.double, let y = json[1]?.double, (0...Double(width)).contains(x),
      (0...Double(height)).contains(y)
    else { return nil }
    return Point(x: Float(x), y: Float(y))
  }
}
