import CKernels
import Foundation
import Testing

@testable import Tensors

/// Weights in halves and blocks, against formats written out number by number.
@Suite struct StoredWeightTests {
  static func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    KernelTests.noise(count, scale: 1, seed: seed).map { UInt8(clamping: Int(($0 + 1) * 128)) }
  }

  /// Random blocks whose half-precision factors are ordinary numbers.
  static func blocks(_ format: WeightFormat, _ count: Int, seed: UInt64 = 7) -> [UInt8] {
    var bytes = randomBytes(format.byteCount(of: count), seed: seed)
    func setHalf(_ at: Int, _ block: Int) {
      bytes[at] = UInt8(truncatingIfNeeded: block &* 37)
      bytes[at + 1] = 0x20 | UInt8(block % 2) << 7  // ±(1 + …) · 2⁻⁷
    }
    for (block, start) in stride(from: 0, to: bytes.count, by: format.blockBytes).enumerated() {
      switch format {
      case .float32: break
      case .float16: bytes[start + 1] &= 0xbf  // no infinities
      case .bfloat16: bytes[start + 1] = 0x3f
      case .q8_0, .q4_0: setHalf(start, block)
      case .q4_K:
        setHalf(start, block)
        setHalf(start + 2, block + 1)
      case .q6_K: setHalf(start + 208, block)
      }
    }
    if format == .float32 {
      bytes = KernelTests.noise(count).flatMap { withUnsafeBytes(of: $0) { Array($0) } }
    }
    return bytes
  }

  static func half(_ low: UInt8, _ high: UInt8) -> Double {
    let bits = Int(low) | Int(high) << 8
    let (exponent, fraction) = (bits >> 10 & 31, Double(bits & 1023))
    let sign: Double = bits >> 15 == 1 ? -1 : 1
    if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
    return exponent == 0 ? sign * fraction * 0x1p-24 : sign * (1 + fraction / 1024) * pow(2, Double(exponent - 15))
  }

  /// Number `i` of a row of blocks, straight from ggml's description.
  static func number(_ format: WeightFormat, _ bytes: [UInt8], _ i: Int) -> Double {
    let start = i / format.blockLength * format.blockBytes
    let at = i % format.blockLength
    let block = Array(bytes[start..<start + format.blockBytes])
    switch format {
    case .float32: return Double(block.withUnsafeBytes { $0.loadUnaligned(as: Float.self) })
    case .float16: return half(block[0], block[1])
    case .bfloat16: return Double(Float(bitPattern: UInt32(block[0]) << 16 | UInt32(block[1]) << 24))
    case .q8_0: return half(block[0], block[1]) * Double(Int8(bitPattern: block[2 + at]))
    case .q4_0:
      let byte = block[2 + at % 16]
      return half(block[0], block[1]) * Double(Int(at < 16 ? byte & 15 : byte >> 4) - 8)
    case .q4_K:
      let (run, within) = (at / 32, at % 32)
      let s = Array(block[4..<16])
      let scale = run < 4 ? Int(s[run] & 63) : Int(s[run + 4] & 15) + Int(s[run - 4] >> 6) * 16
      let least = run < 4 ? Int(s[run + 4] & 63) : Int(s[run + 4] >> 4) + Int(s[run] >> 6) * 16
      let byte = block[16 + run / 2 * 32 + within]
      return half(block[0], block[1]) * Double(scale) * Double(run % 2 == 0 ? byte & 15 : byte >> 4)
        - half(block[2], block[3]) * Double(least)
    case .q6_K:
      let (half128, within) = (at / 128, at % 128)
      let (quarter, l) = (within / 32, within % 32)
      let low = block[half128 * 64 + quarter % 2 * 32 + l]
      let high = block[128 + half128 * 32 + l] >> (2 * quarter) & 3
      let q = Int(quarter < 2 ? low & 15 : low >> 4) + Int(high) * 16 - 32
      let scale = Int8(bitPattern: block[192 + half128 * 8 + quarter * 2 + l / 16])
      return half(block[208], block[209]) * Double(scale) * Double(q)
    }
  }

  static func dequantize(_ set: ck_kernels, _ format: WeightFormat) -> (
    (UnsafeRawPointer?, UnsafeMutablePointer<Float>?, Int) -> Void
  )? {
    switch format {
    case .float32: nil
    case .float16: set.dequantize_f16
    case .bfloat16: set.dequantize_bf16
    case .q8_0: set.dequantize_q8_0
    case .q4_0: set.dequantize_q4_0
    case .q4_K: set.dequantize_q4_k
    case .q6_K: set.dequantize_q6_k
    }
  }

  @Test(arguments: WeightFormat.allCases) func everySetReadsTheFormat(format: WeightFormat) {
    let count = 3 * (format.blockLength == 1 ? 35 : format.blockLength)
    let bytes = Self.blocks(format, count)
    for set in KernelTests.sets {
      guard let dequantize = Self.dequantize(set, format) else { continue }
      var y = [Float](repeating: .nan, count: count)
      dequantize(bytes, &y, count)
      for i in 0..<count {
        let expected = Self.number(format, bytes, i)
        #expect(
          abs(Double(y[i]) - expected) <= 1e-6 * max(1, abs(expected)), "\(String(cString: set.name)) \(format) \(i)")
      }
    }
  }

  /// All 65,536 halves, infinities, NaN and subnormals included.
  @Test func everyHalfIsExact() {
    let bytes = (0..<65536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    for set in KernelTests.sets {
      var y = [Float](repeating: 0, count: 65536)
      set.dequantize_f16(bytes, &y, 65536)
      let wrong = (0..<65536).filter { i in
        let expected = Self.half(bytes[2 * i], bytes[2 * i + 1])
        return expected.isNaN ? !y[i].isNaN : y[i] != Float(expected) || (y[i].sign == .minus) != (i > 32767)
      }
      #expect(wrong.isEmpty, "\(String(cString: set.name)): \(wrong.prefix(3))")
    }
  }

  @Test(arguments: [1, 15, 63, 64, 200, 4099]) func aRowsProductDoesNotDependOnTheOthers(columns: Int) {
    let rows = 11
    let (w, x) = (KernelTests.noise(columns), KernelTests.noise(rows * columns, seed: 5))
    for set in KernelTests.sets {
      var together = [Float](repeating: 0, count: 2 * rows)
      set.dot_rows(w, x, rows, columns, &together, 2)
      for r in 0..<rows {
        let row = Array(x[r * columns..<(r + 1) * columns])
        var alone: Float = 0
        set.dot_rows(w, row, 1, columns, &alone, 1)
        #expect(alone == together[2 * r])
        let exact = zip(w, row).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        #expect(abs(Double(alone) - exact) < 1e-4 * Double(columns).squareRoot() + 1e-4)
      }
    }
  }

  /// Few rows and many take different ways; both are the product with the widened matrix. The file's bytes lie at an odd
  /// address.
  @Test(arguments: WeightFormat.allCases, [1, 3, 16, 17, 70]) func linearIsTheProduct(format: WeightFormat, count: Int)
  {
    let (rows, columns) = (37, max(512, format.blockLength))
    let file = HeldBytes([0] + Self.blocks(format, rows * columns))
    let matrix = WeightMatrix(rows: rows, columns: columns, format: format, borrowing: file.base + 1, owner: file)
    let wide = matrix.dequantized()
    let x = Tensor([count, columns], KernelTests.noise(count * columns, seed: 3))
    let bias = Tensor([rows], KernelTests.noise(rows, seed: 4))
    let (y, weights, xs, biases) = (x.linear(matrix, bias: bias).values, wide.values, x.values, bias.values)
    for i in 0..<count {
      for j in 0..<rows {
        var (exact, size) = (Double(biases[j]), 0.0)
        for k in 0..<columns {
          let term = Double(xs[i * columns + k]) * Double(weights[j * columns + k])
          exact += term
          size += abs(term)
        }
        // Blocks meet activations of 16 bits; BlockLinearTests has the exact bound.
        #expect(abs(Double(y[i * rows + j]) - exact) <= (format.blockLength == 1 ? 1e-6 : 1e-5) * size + 1e-6)
      }
    }
    let picked = [5, 0, 5].map { Array(weights[$0 * columns..<($0 + 1) * columns]) }
    #expect(matrix.dequantized(rows: [5, 0, 5]).values == Array(picked.joined()))
    #expect(matrix.byteCount == file.count - 1)
  }
}

/// Bytes at an address that stays.
final class HeldBytes: @unchecked Sendable {
  let base: UnsafeRawPointer
  let count: Int

  init(_ bytes: [UInt8]) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
    memory.copyMemory(from: bytes, byteCount: bytes.count)
    (base, count) = (UnsafeRawPointer(memory), bytes.count)
  }

  deinit { base.deallocate() }
}
