extension UInt16 {
  /// The bits of the half-precision number nearest to a float32, ties to even; in integers, since `Float16` is not on every
  /// architecture.
  init(halfOf value: Float) {
    let bits = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
    let magnitude = bits & 0x7fff_ffff
    switch magnitude {
    case 0x7f80_0001...: self = sign | 0x7e00  // not a number
    case 0x477f_f000...: self = sign | 0x7c00  // 65520 and more
    case 0x3880_0000...:  // 2⁻¹⁴ and more: normal
      let rounded = magnitude - 0x3800_0000 + 0xfff + (magnitude >> 13 & 1)
      self = sign | UInt16(truncatingIfNeeded: rounded >> 13)
    default:
      // Adding ½ leaves the multiples of 2⁻²⁴ that a subnormal counts in the last places, rounded by the addition.
      let shifted = Float(bitPattern: magnitude) + 0.5
      self = sign | UInt16(truncatingIfNeeded: shifted.bitPattern - Float(0.5).bitPattern)
    }
  }

  /// The bits of the bfloat16 nearest to a float32, ties to even.
  init(brainOf value: Float) {
    let bits = value.bitPattern
    guard bits & 0x7fff_ffff <= 0x7f80_0000 else {
      self = UInt16(truncatingIfNeeded: bits >> 16) | 64
      return
    }
    self = UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
  }
}

extension Float {
  /// Rounded to an integer, ties to even, as ggml does it by the bits of a sum. Right for magnitudes below 2²²; of others it
  /// makes some number below 2²³, as does ggml.
  var nearestInteger: Int32 {
    Int32(bitPattern: (self + 0x1.8p23).bitPattern & 0x007f_ffff) - 0x0040_0000
  }

  /// The integer towards zero; what no `Int32` holds becomes the least, as on x86.
  var truncated: Int32 { self > -0x1p31 && self < 0x1p31 ? Int32(self) : .min }
}
