// What the wire's objects look like in files of their own.
import Masks

extension GivenMask {
  /// Reads a file of masks: a JSON list of objects that have `segmentation`, or a reply that has such a list as `masks`.
  ///
  /// - Throws: an error that names the mask and its field.
  public static func list(_ bytes: [UInt8], limits: WireLimits = WireLimits()) throws(WireError) -> [GivenMask] {
    let document = try JSONValue(file: bytes, what: "the masks", limits)
    let list = try Fields.list(document["masks"] ?? document, "masks", limit: limits.masks)
    let reader = RequestReader(blobs: 0, limits: limits)
    var masks: [GivenMask] = []
    for (index, value) in list.enumerated() { masks.append(try reader.givenMask(value, path: "masks[\(index)]")) }
    return masks
  }

  /// The mask itself.
  public func runs() throws(MaskError) -> RunLengthEncoding {
    switch counts {
    case .compressed(let text): try RunLengthEncoding(height: height, width: width, compressed: text)
    case .raw(let counts): try RunLengthEncoding(height: height, width: width, counts: counts)
    }
  }
}

extension AutomaticParameters {
  /// Reads a file of point grids: a JSON list with a list of [x, y] in 0…1 for each layer of crops.
  public static func pointGrids(
    _ bytes: [UInt8], limits: WireLimits = WireLimits()
  ) throws(WireError) -> [[Point<UnitFrame>]] {
    let document = try JSONValue(file: bytes, what: "the point grids", limits)
    let layers = try Fields.list(document, "point_grids", limit: 4)
    return try RequestReader(blobs: 0, limits: limits).pointGrids(layers)
  }
}

extension JSONValue {
  /// A file may be larger than a header on the wire; all else is as strict.
  fileprivate init(file bytes: [UInt8], what: String, _ limits: WireLimits) throws(WireError) {
    do {
      self = try JSONValue(parsing: bytes, limits: JSONLimits(bytes: 1 << 28, depth: limits.headerDepth))
    } catch {
      throw .bad("\(what) are not JSON: \(error)")
    }
    if let found = firstNotFinite() { throw Fields.notFinite(found.path, found.value) }
  }
}
