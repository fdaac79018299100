extension GivenMask {
  /// The masks of a JSON list, such as `auto --json` prints; the errors name the list's entries.
  public static func list(_ json: [UInt8], limits: WireLimits = WireLimits()) throws(WireError) -> [GivenMask] {
    let document: JSONValue
    do throws(JSONError) {
      document = try JSONValue(parsing: json, limits: JSONLimits(bytes: 1 << 28, depth: limits.headerDepth))
    } catch {
      throw .bad("the masks are not a JSON list of objects that have 'segmentation': \(error)")
    }
    let reader = RequestReader(blobs: 0, limits: limits)
    var masks: [GivenMask] = []
    for (index, value) in try Fields.list(document, "masks", limit: limits.masks).enumerated() {
      masks.append(try reader.givenMask(value, path: "masks[\(index)]"))
    }
    return masks
  }
}
