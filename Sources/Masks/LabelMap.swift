/// Masks of one picture as one number for each pixel: 0 where no mask is, `i + 1` where mask `i` is.
///
/// Where masks overlap, the smaller one is on top, so that parts show on their objects; of equally large ones the
/// earlier.
///
/// - Returns: `[height, width]` row-major. There are at most 65,535 masks, each `width` × `height`; one at a time is decoded.
public func labelMap(_ masks: [RunLengthEncoding], width: Int, height: Int) -> [UInt16] {
  precondition(masks.count <= UInt16.max, "\(masks.count) masks do not fit a 16-bit label map")
  var labels = [UInt16](repeating: 0, count: width * height)
  let areas = masks.map(\.area)
  let paintOrder = masks.indices.sorted { areas[$0] == areas[$1] ? $0 > $1 : areas[$0] > areas[$1] }
  for index in paintOrder {
    let mask = masks[index]
    precondition(mask.width == width && mask.height == height, "mask \(index) is \(mask.width)×\(mask.height)")
    let label = UInt16(index + 1)
    labels.withUnsafeMutableBufferPointer { labels in
      mask.bitMask().bits.withUnsafeBufferPointer { bits in
        for i in 0..<bits.count where bits[i] != 0 { labels[i] = label }
      }
    }
  }
  return labels
}
