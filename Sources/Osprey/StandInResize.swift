import Imaging

// Until Imaging has it.
enum ResizeFilter { case bicubic }

extension Image {
  func resized(width newWidth: Int, height newHeight: Int, filter: ResizeFilter) -> Image {
    func taps(_ input: Int, _ output: Int) -> [(start: Int, weights: [Int])] {
      let scale = Double(input) / Double(output)
      let filterScale = max(scale, 1)
      let support = 2 * filterScale
      return (0..<output).map { o in
        let center = (Double(o) + 0.5) * scale
        let low = max(Int(center - support + 0.5), 0)
        let high = min(Int(center + support + 0.5), input)
        var weights = (low..<high).map { i -> Double in
          let x = abs((Double(i) - center + 0.5) / filterScale)
          if x < 1 { return ((-0.5 + 2) * x - (-0.5 + 3)) * x * x + 1 }
          if x < 2 { return (((x - 5) * x + 8) * x - 4) * -0.5 }
          return 0
        }
        let sum = weights.reduce(0, +)
        weights = weights.map { $0 / sum }
        return (low, weights.map { Int(($0 * Double(1 << 22) + ($0 < 0 ? -0.5 : 0.5)).rounded(.towardZero)) })
      }
    }
    var horizontal = [UInt8](repeating: 0, count: newWidth * height * 3)
    for (x, tap) in taps(width, newWidth).enumerated() {
      for y in 0..<height {
        for c in 0..<3 {
          var sum = 1 << 21
          for (i, w) in tap.weights.enumerated() { sum += w * Int(pixels[(y * width + tap.start + i) * 3 + c]) }
          horizontal[(y * newWidth + x) * 3 + c] = UInt8(clamping: sum >> 22)
        }
      }
    }
    if width == newWidth { horizontal = pixels }
    if height == newHeight { return Image(width: newWidth, height: newHeight, pixels: horizontal) }
    var result = [UInt8](repeating: 0, count: newWidth * newHeight * 3)
    for (y, tap) in taps(height, newHeight).enumerated() {
      for x in 0..<newWidth * 3 {
        var sum = 1 << 21
        for (i, w) in tap.weights.enumerated() { sum += w * Int(horizontal[(tap.start + i) * newWidth * 3 + x]) }
        result[y * newWidth * 3 + x] = UInt8(clamping: sum >> 22)
      }
    }
    return Image(width: newWidth, height: newHeight, pixels: result)
  }
}
