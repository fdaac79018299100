extension GivenMask {
  /// Reads a file of masks: a JSON list of objects that have `segmentation`, or a reply that has such a list as `masks`.
  ///
  /// - Throws: an error that names the mask and its field.
  public static func list(_ bytes: [UInt8], limits: WireLimits = WireLimits()) throws(WireError) -> [GivenMask] {
    let document: JSONValue
    do {
      // A file may be larger than a header on the wire.
      document = try JSONValue(parsing: bytes, limits: JSONLimits(bytes: 1 << 28, depth: limits.headerDepth))
    } catch {
      throw .bad("the masks are not JSON: \(error)")
    }
    if let found = document.firstNotFinite() { throw Fields.notFinite(found.path, found.value) }
    let list = try Fields.list(document["masks"] ?? document, "masks", limit: limits.masks)
    let reader = RequestReader(blobs: 0, limits: limits)
    var masks: [GivenMask] = []
    for (index, value) in list.enumerated() { masks.append(try reader.givenMask(value, path: "masks[\(index)]")) }
    return masks
  }
}
