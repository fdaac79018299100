/// One number of each of 8 of a block's 16 sub-blocks; each lane does what ggml does for its sub-block, in the same order.
private typealias Lanes = SIMD8<Float>

extension Quantizer {
  /// Below this ggml takes numbers for zero.
  private static let zero: Float = 1e-15

  /// Blocks of 256 numbers, 16 sub-blocks of 16: `x ≈ d·s·q` with `d` a half, `s` a signed byte for each sub-block, `q` of
  /// 6 bits that mean −32…31. 210 bytes: 128 of the low 4 bits, 64 of the high 2 bits, 16 of s, d.
  static func encodeQ6K(_ source: UnsafePointer<Float>, blocks: Int, to target: UnsafeMutableRawPointer) {
    let x = UnsafeMutablePointer<Lanes>.allocate(capacity: 2 * 16)
    let levels = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    let scales = UnsafeMutablePointer<Float>.allocate(capacity: 16)
    defer {
      x.deallocate()
      levels.deallocate()
      scales.deallocate()
    }
    for block in 0..<blocks {
      let (numbers, y) = (source + 256 * block, target + 210 * block)
      for half in 0..<2 {
        for i in 0..<16 {
          var lanes = Lanes()
          for j in 0..<8 { lanes[j] = numbers[128 * half + 16 * j + i] }
          x[i] = lanes
        }
        let found = searchScale(x, levels: x + 16)
        for j in 0..<8 {
          scales[8 * half + j] = found[j]
          for i in 0..<16 { levels[128 * half + 16 * j + i] = UInt8(truncatingIfNeeded: x[16 + i][j].truncated) }
        }
      }
      finishQ6K(numbers, scales, levels, y)
    }
  }

  /// To the nearest of −32…31; magnitudes stay far below 2²², where this sum rounds to integers.
  private static func level(_ x: Lanes) -> Lanes {
    let rounded = x + 0x1.8p23 - 0x1.8p23
    return rounded.replacing(with: -32, where: rounded .< -32).replacing(with: 31, where: rounded .> 31)
  }

  /// The scale of each sub-block that fits best when numbers weigh as their squares, of 19 tried. [make_qx_quants]
  ///
  /// - Parameter levels: gets 0…63 for each number.
  private static func searchScale(_ x: UnsafePointer<Lanes>, levels: UnsafeMutablePointer<Lanes>) -> Lanes {
    var (greatest, signed) = (Lanes(), Lanes())
    for i in 0..<16 {
      let magnitude = x[i].replacing(with: Lanes() - x[i], where: x[i] .< 0)
      let isGreater = magnitude .> greatest
      greatest.replace(with: magnitude, where: isGreater)
      signed.replace(with: x[i], where: isGreater)
    }
    // Lanes of zeros compute nonsense, which is dropped at the end.
    let isZero = greatest .< zero
    var inverse = Lanes(repeating: -32) / signed
    var (sumXL, sumL2) = sums(x, inverse)
    for i in 0..<16 { levels[i] = level(inverse * x[i]) + 32 }
    var scale = (sumXL / sumL2).replacing(with: 0, where: sumL2 .== 0)
    var best = scale * sumXL
    for step in -9...9 where step != 0 {
      inverse = Lanes(repeating: -(32 + 0.1 * Float(step))) / signed
      (sumXL, sumL2) = sums(x, inverse)
      let isBetter = (sumL2 .> 0) .& (sumXL * sumXL .> best * sumL2)
      guard any(isBetter) else { continue }
      for i in 0..<16 { levels[i].replace(with: level(inverse * x[i]) + 32, where: isBetter) }
      scale.replace(with: sumXL / sumL2, where: isBetter)
      best.replace(with: scale * sumXL, where: isBetter)
    }
    for i in 0..<16 { levels[i].replace(with: 0, where: isZero) }
    return scale.replacing(with: 0, where: isZero)
  }

  /// Σ w·x·l and Σ w·l² with w = x².
  private static func sums(_ x: UnsafePointer<Lanes>, _ inverse: Lanes) -> (xl: Lanes, l2: Lanes) {
    var (sumXL, sumL2) = (Lanes(), Lanes())
    for i in 0..<16 {
      let l = level(inverse * x[i])
      let weight = x[i] * x[i]
      sumXL += weight * x[i] * l
      sumL2 += weight * l * l
    }
    return (sumXL, sumL2)
  }

  /// Scales to 8 bits, then each number once more by what these became.
  private static func finishQ6K(
    _ x: UnsafePointer<Float>, _ scales: UnsafePointer<Float>, _ levels: UnsafeMutablePointer<UInt8>,
    _ y: UnsafeMutableRawPointer
  ) {
    var (greatest, signed): (Float, Float) = (0, 0)
    for j in 0..<16 where scales[j].magnitude > greatest { (greatest, signed) = (scales[j].magnitude, scales[j]) }
    y.withMemoryRebound(to: UInt8.self, capacity: 210) { bytes in
      guard greatest >= zero else {
        for i in 0..<210 { bytes[i] = 0 }
        return
      }
      let inverse = -128 / signed
      let d = UInt16(halfOf: 1 / inverse)
      for j in 0..<16 {
        let s = Int8(truncatingIfNeeded: min(127, (inverse * scales[j]).nearestInteger))
        bytes[192 + j] = UInt8(bitPattern: s)
        let step = Float(halfBits: d) * Float(s)
        guard step != 0 else { continue }
        for i in 16 * j..<16 * j + 16 {
          levels[i] = UInt8(truncatingIfNeeded: max(-32, min(31, (x[i] / step).nearestInteger)) + 32)
        }
      }
      // Of each half's 128 numbers, those 32 apart share bytes.
      for half in 0..<2 {
        let (l, low, high) = (levels + 128 * half, bytes + 64 * half, bytes + 128 + 32 * half)
        for i in 0..<32 {
          low[i] = l[i] & 15 | (l[i + 64] & 15) << 4
          low[i + 32] = l[i + 32] & 15 | (l[i + 96] & 15) << 4
          high[i] = l[i] >> 4 | (l[i + 32] >> 4) << 2 | (l[i + 64] >> 4) << 4 | (l[i + 96] >> 4) << 6
        }
      }
      store(d, y + 208)
    }
  }
}
