/// One number of each of a block's 8 sub-blocks, so that all are searched at once; each lane does what ggml does for its
/// sub-block, in the same order.
private typealias Lanes = SIMD8<Float>

extension Quantizer {
  /// Blocks of 256 numbers, 8 sub-blocks of 32: `x ≈ d·s·q − dmin·m` with `d` and `dmin` halves, 6 bits for each sub-block's
  /// `s` and `m`, 4 bits for each `q`. 144 bytes: d, dmin, 12 bytes of s and m, 128 of q.
  static func encodeQ4K(_ source: UnsafePointer<Float>, blocks: Int, to target: UnsafeMutableRawPointer) {
    let x = UnsafeMutablePointer<Lanes>.allocate(capacity: 4 * 32)
    defer { x.deallocate() }
    let (weights, levels, trial) = (x + 32, x + 64, x + 96)
    for block in 0..<blocks {
      let (numbers, y) = (source + 256 * block, target + 144 * block)
      for i in 0..<32 {
        var lanes = Lanes()
        for j in 0..<8 { lanes[j] = numbers[32 * j + i] }
        x[i] = lanes
      }
      var squares = Lanes()
      for i in 0..<32 { squares += x[i] * x[i] }
      let mean = (squares / 32).squareRoot()
      for i in 0..<32 { weights[i] = mean + x[i].replacing(with: Lanes() - x[i], where: x[i] .< 0) }
      let (scales, minima) = searchScaleAndMinimum(x, weights, levels, trial)
      finishQ4K(numbers, scales, minima, levels, y)
    }
  }

  /// To the nearest of 0…15; magnitudes stay far below 2²², where this sum rounds to integers.
  private static func level(_ x: Lanes) -> Lanes {
    let rounded = x + 0x1.8p23 - 0x1.8p23
    return rounded.replacing(with: 0, where: rounded .< 0).replacing(with: 15, where: rounded .> 15)
  }

  /// With subnormal numbers a factor can be infinite; all levels are 0 then.
  private static func finite(_ factor: Lanes) -> Lanes {
    factor.replacing(with: 0, where: factor .== .infinity)
  }

  /// The scale and the minimum of each sub-block with the least weighted error, of 21 steps tried. [make_qkx2_quants]
  ///
  /// - Parameters:
  ///   - levels: gets 0…15 for each number.
  ///   - trial: 32 lanes to work in.
  /// - Returns: scales, and what the minima are subtracted as.
  private static func searchScaleAndMinimum(
    _ x: UnsafePointer<Lanes>, _ weights: UnsafePointer<Lanes>, _ levels: UnsafeMutablePointer<Lanes>,
    _ trial: UnsafeMutablePointer<Lanes>
  ) -> (scales: Lanes, minima: Lanes) {
    var (low, high) = (x[0], x[0])
    var sumW = weights[0]
    var sumX = sumW * x[0]
    for i in 1..<32 {
      low.replace(with: x[i], where: x[i] .< low)
      high.replace(with: x[i], where: x[i] .> high)
      sumW += weights[i]
      sumX += weights[i] * x[i]
    }
    low.replace(with: 0, where: low .> 0)
    // Lanes whose numbers are all the same compute nonsense, which is dropped at the end.
    let isFlat = high .== low
    let flatLow = low
    var inverse = Lanes(repeating: 15) / (high - low)
    var scale = Lanes(repeating: 1) / inverse
    var least = Lanes()
    var factor = finite(inverse)
    for i in 0..<32 {
      levels[i] = level(factor * (x[i] - low))
      let difference = scale * levels[i] + low - x[i]
      least += weights[i] * (difference * difference)
    }
    for step in 0...20 {
      inverse = Lanes(repeating: -1 + 0.1 * Float(step) + 15) / (high - low)
      factor = finite(inverse)
      var (sumL, sumL2, sumXL) = (Lanes(), Lanes(), Lanes())
      for i in 0..<32 {
        let l = level(factor * (x[i] - low))
        trial[i] = l
        let weighted = weights[i] * l
        sumL += weighted
        sumL2 += weighted * l
        sumXL += weighted * x[i]
      }
      let determinant = sumW * sumL2 - sumL * sumL
      var newScale = (sumW * sumXL - sumX * sumL) / determinant
      var newLow = (sumL2 * sumX - sumL * sumXL) / determinant
      newScale.replace(with: sumXL / sumL2, where: newLow .> 0)
      newLow.replace(with: 0, where: newLow .> 0)
      var error = Lanes()
      for i in 0..<32 {
        let difference = newScale * trial[i] + newLow - x[i]
        error += weights[i] * (difference * difference)
      }
      let isBetter = (determinant .> 0) .& (error .< least)
      guard any(isBetter) else { continue }
      for i in 0..<32 { levels[i].replace(with: trial[i], where: isBetter) }
      least.replace(with: error, where: isBetter)
      scale.replace(with: newScale, where: isBetter)
      low.replace(with: newLow, where: isBetter)
    }
    for i in 0..<32 { levels[i].replace(with: 0, where: isFlat) }
    return (scale.replacing(with: 0, where: isFlat), Lanes() - low.replacing(with: flatLow, where: isFlat))
  }

  /// Scales and minima to 6 bits, then each number once more by what these became.
  private static func finishQ4K(
    _ x: UnsafePointer<Float>, _ scales: Lanes, _ minima: Lanes, _ levels: UnsafePointer<Lanes>,
    _ y: UnsafeMutableRawPointer
  ) {
    var (greatestScale, greatestMinimum): (Float, Float) = (0, 0)
    for j in 0..<8 {
      if scales[j] > greatestScale { greatestScale = scales[j] }
      if minima[j] > greatestMinimum { greatestMinimum = minima[j] }
    }
    let inverseScale: Float = greatestScale > 0 ? 63 / greatestScale : 0
    let inverseMinimum: Float = greatestMinimum > 0 ? 63 / greatestMinimum : 0
    let (d, dmin) = (UInt16(halfOf: greatestScale / 63), UInt16(halfOf: greatestMinimum / 63))
    store(d, y)
    store(dmin, y + 2)
    var packed = SIMD16<UInt8>()
    y.withMemoryRebound(to: UInt8.self, capacity: 144) { bytes in
      let out = bytes + 16
      for i in 0..<128 { out[i] = 0 }
      for j in 0..<8 {
        let s = min(63, UInt8(truncatingIfNeeded: (inverseScale * scales[j]).nearestInteger))
        let m = min(63, UInt8(truncatingIfNeeded: (inverseMinimum * minima[j]).nearestInteger))
        if j < 4 {
          packed[j] = s
          packed[j + 4] = m
        } else {
          packed[j + 4] = (s & 15) | (m & 15) << 4
          packed[j - 4] |= (s >> 4) << 6
          packed[j] |= (m >> 4) << 6
        }
        let step = Float(halfBits: d) * Float(s)
        let minimum = Float(halfBits: dmin) * Float(m)
        // Sub-blocks 0 and 1 share the first 32 bytes, and so on.
        let (start, shift) = (32 * (j / 2), UInt8(4 * (j % 2)))
        for i in 0..<32 {
          let l = step != 0 ? ((x[32 * j + i] + minimum) / step).nearestInteger : levels[i][j].truncated
          out[start + i] |= UInt8(truncatingIfNeeded: max(0, min(15, l))) << shift
        }
      }
      for i in 0..<12 { bytes[4 + i] = packed[i] }
    }
  }
}
