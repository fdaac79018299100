import Tensors
import Testing

@testable import Checkpoints

/// Blocks bit for bit as the gguf package and ggml make them, from the fixture of `Tools/parity/quantization.py`.
@Suite struct QuantizerTests {
  private let file: any Checkpoint
  private let numbers: Tensor

  init() throws {
    file = try openCheckpoint(fixture("blocks.safetensors"))
    numbers = try file.tensor("numbers")
  }

  private func row(_ index: Int) -> [Float] { numbers.rows(index..<index + 1).values }

  private func encoded(_ values: [Float], columns: Int, as type: ElementType) -> (bytes: [UInt8], wrong: Float?) {
    var bytes = [UInt8](repeating: 0, count: type.byteCount(of: values.count))
    let wrong = values.withUnsafeBufferPointer { values in
      bytes.withUnsafeMutableBytes { bytes -> Float? in
        guard let base = bytes.baseAddress else { return nil }
        return Quantizer.encode(values, columns: columns, as: type, to: base)
      }
    }
    return (bytes, wrong)
  }

  private func firstDifference(_ bytes: [UInt8], _ golden: [Float]) -> String? {
    guard bytes.count == golden.count else { return "\(bytes.count) bytes for \(golden.count)" }
    return bytes.indices.first { Float(bytes[$0]) != golden[$0] }.map { "\(bytes[$0]) for \(golden[$0]) at byte \($0)" }
  }

  @Test(arguments: [ElementType.q8_0, .q4_0, .q4_K, .q6_K, .bfloat16])
  func writesWhatGGMLWrites(type: ElementType) throws {
    let key = type == .bfloat16 ? "BF16" : type.rawValue
    let expected = try file.tensor(key)
    for index in 0..<numbers.shape[0] {
      let (bytes, wrong) = encoded(row(index), columns: numbers.shape[1], as: type)
      #expect(wrong == nil)
      let difference = firstDifference(bytes, expected.rows(index..<index + 1).values)
      #expect(difference == nil, "\(type) row \(index)")
    }
    // All rows at once, so that several threads have parts of them.
    let (bytes, _) = encoded(numbers.values, columns: numbers.shape[1], as: type)
    #expect(firstDifference(bytes, expected.values) == nil)
  }

  @Test func halvesAreTheNearest() throws {
    let expected = try file.tensor("F16")
    for index in 0..<numbers.shape[0] {
      let values = row(index)
      let (bytes, wrong) = encoded(values, columns: values.count, as: .float16)
      #expect(wrong == values.first { $0.magnitude >= 65520 }, "row \(index)")
      guard wrong == nil else { continue }
      let difference = firstDifference(bytes, expected.rows(index..<index + 1).values)
      #expect(difference == nil, "row \(index)")
    }
    // Every half is itself, and what lies between two goes to the even one.
    for bits in UInt16(0)..<0x7c00 {
      #expect(UInt16(halfOf: Float(halfBits: bits)) == bits)
      #expect(UInt16(halfOf: -Float(halfBits: bits)) == bits | 0x8000)
      guard bits < 0x7bff else { continue }
      let middle = (Float(halfBits: bits) + Float(halfBits: bits + 1)) / 2
      #expect(UInt16(halfOf: middle) == (bits % 2 == 0 ? bits : bits + 1))
      #expect(UInt16(halfOf: middle.nextUp) == bits + 1)
      #expect(UInt16(halfOf: middle.nextDown) == bits)
    }
    #expect(UInt16(halfOf: .infinity) == 0x7c00 && UInt16(halfOf: -.infinity) == 0xfc00)
    #expect(UInt16(halfOf: .nan) & 0x7fff == 0x7e00)
  }

  @Test func whatIsNoNumberIsRefused() {
    for type in Quantizer.types where type != .float32 {
      for value in [Float.nan, .infinity, -.infinity] {
        var values = [Float](repeating: 1, count: 256)
        values[77] = value
        let wrong = encoded(values, columns: 256, as: type).wrong
        #expect(wrong?.bitPattern == value.bitPattern, "\(type) \(value)")
      }
    }
  }

  /// What a block means, through a file; the package's numbers to the bit.
  @Test(arguments: [ElementType.q8_0, .q4_0, .q4_K, .q6_K])
  func readsWhatGGMLMeans(type: ElementType) throws {
    let folder = try ScratchFolder()
    let blocks = try file.tensor(type.rawValue).values.map { UInt8($0) }
    let (rows, columns) = (numbers.shape[0], numbers.shape[1])
    let code = try #require(GGMLType.code(of: type))
    let line = GGUFBytes.Tensor(name: "w", lengths: [UInt64(columns), UInt64(rows)], code: code)
    let path = try folder.write(GGUFBytes(tensors: [line], data: blocks).bytes)
    let checkpoint = try openCheckpoint(path)
    #expect(checkpoint.type(of: "w") == type && checkpoint.shape(of: "w") == [rows, columns])
    let expected = try file.tensor("\(type.rawValue).numbers").values
    let (actual, matrix) = (try checkpoint.tensor("w"), try checkpoint.matrix("w", shape: [rows, -1]))
    #expect(actual.shape == [rows, columns])
    #expect(matrix.format.rawValue == type.rawValue && matrix.rows == rows && matrix.columns == columns)
    for values in [actual.values, matrix.dequantized().values] {
      let wrong = values.indices.first { i in
        values[i] != expected[i] && !(values[i].isNaN && expected[i].isNaN)
      }
      #expect(wrong == nil, "\(type): \(wrong.map { "\(values[$0]) for \(expected[$0]) at \($0)" } ?? "")")
    }
    #expect(throws: CheckpointError.shapeMismatch(key: "w", expected: [rows, 5], actual: [rows, columns])) {
      try checkpoint.matrix("w", shape: [rows, 5])
    }
  }
}
