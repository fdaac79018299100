extension Image {
  /// The picture at another size, equal bit for bit to Pillow's `Image.resize((width, height), filter)`.
  ///
  /// When it shrinks, the filter widens with it, so nothing is aliased. The two axes go one after the other with 8-bit
  /// values in between, so their order shows in the last bit. It is that of Pillow 13: rows first, unless the height loses
  /// more than twice as many pixels as the width (Pillow's pull request 9549). Older Pillows always begin with the rows.
  public func resized(width outWidth: Int, height outHeight: Int, filter: ResizeFilter) -> Image {
    precondition(outWidth > 0 && outHeight > 0, "a picture cannot be resized to \(outWidth)×\(outHeight)")
    precondition(width > 0 && height > 0, "a picture without pixels cannot be resized")
    let across = outWidth == width ? nil : ResizeWeights(filter, from: width, to: outWidth)
    let down = outHeight == height ? nil : ResizeWeights(filter, from: height, to: outHeight)
    let isDownFirst = outHeight < height && height - outHeight > 2 * (width - outWidth)
    var result = self
    if isDownFirst, let down { result = result.resizedDown(down) }
    if let across { result = result.resizedAcross(across) }
    if !isDownFirst, let down { result = result.resizedDown(down) }
    return result
  }

  private func resizedAcross(_ weights: ResizeWeights) -> Image {
    let outWidth = weights.bounds.count
    let length = outWidth * height * 3
    let resized = [UInt8](unsafeUninitializedCapacity: length) { out, count in
      pixels.withUnsafeBufferPointer { source in
        weights.values.withUnsafeBufferPointer { values in
          weights.bounds.withUnsafeBufferPointer { bounds in
            for y in 0..<height {
              let row = y * width * 3
              var target = y * outWidth * 3
              for x in 0..<outWidth {
                var (red, green, blue) = (Self.half, Self.half, Self.half)
                var from = row + bounds[x].first * 3
                let weight = x * weights.stride
                for i in 0..<bounds[x].count {
                  let value = values[weight + i]
                  red &+= Int32(source[from]) &* value
                  green &+= Int32(source[from + 1]) &* value
                  blue &+= Int32(source[from + 2]) &* value
                  from += 3
                }
                out[target] = Self.clipped(red)
                out[target + 1] = Self.clipped(green)
                out[target + 2] = Self.clipped(blue)
                target += 3
              }
            }
          }
        }
      }
      count = length
    }
    return Image(width: outWidth, height: height, pixels: resized)
  }

  private func resizedDown(_ weights: ResizeWeights) -> Image {
    let outHeight = weights.bounds.count
    let rowLength = width * 3
    let resized = [UInt8](unsafeUninitializedCapacity: outHeight * rowLength) { out, count in
      // Whole rows at a time, so that the compiler can vectorise along them.
      withUnsafeTemporaryAllocation(of: Int32.self, capacity: rowLength) { sums in
        pixels.withUnsafeBufferPointer { source in
          for y in 0..<outHeight {
            let (first, rows) = weights.bounds[y]
            sums.update(repeating: Self.half)
            for i in 0..<rows {
              let value = weights.values[y * weights.stride + i]
              let row = UnsafeBufferPointer(rebasing: source[(first + i) * rowLength..<(first + i + 1) * rowLength])
              for x in 0..<rowLength { sums[x] &+= Int32(row[x]) &* value }
            }
            for x in 0..<rowLength { out[y * rowLength + x] = Self.clipped(sums[x]) }
          }
        }
      }
      count = outHeight * rowLength
    }
    return Image(width: width, height: outHeight, pixels: resized)
  }

  /// One half in fixed point, which turns the shift into a rounding.
  private static var half: Int32 { 1 << (ResizeWeights.fractionBits - 1) }

  private static func clipped(_ sum: Int32) -> UInt8 {
    UInt8(truncatingIfNeeded: min(max(sum >> ResizeWeights.fractionBits, 0), 255))
  }
}
