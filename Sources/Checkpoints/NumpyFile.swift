import Tensors

/// NumPy's `.npy` format, versions 1 to 3: a magic string, a header that is a Python dict literal, then the data.
///
/// Read: little-endian float32 and float64 in C order. Source: `numpy.lib.format`.
public enum NumpyFile {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  private static let headerLimit = 1 << 16
  /// A mask input has 65,536 numbers.
  private static let countLimit = 1 << 24

  /// - Returns: the array, its shape as stored.
  public static func read(_ path: String) throws(CheckpointError) -> Tensor {
    let file = try MappedFile(path: path)
    let bytes = file.bytes
    guard bytes.count >= 12, bytes.prefix(6).elementsEqual(magic), (1...3).contains(bytes[6]) else {
      throw .unrecognised(path: path, reason: "it does not begin like a .npy file of version 1 to 3")
    }
    let isVersion1 = bytes[6] == 1
    let headerStart = isVersion1 ? 10 : 12
    let headerLength =
      isVersion1
      ? Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
      : Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    guard headerLength <= headerLimit else {
      throw .tooMuch(path: path, what: "bytes in its header", limit: headerLimit)
    }
    let dataStart = headerStart + headerLength
    guard bytes.count >= dataStart else { throw .truncated(path: path, expected: dataStart, actual: bytes.count) }
    var literal = NumpyHeader(Array(bytes[headerStart..<dataStart]), path: path)
    let header = try literal.read()
    guard !header.isFortranOrder else {
      throw .malformed(path: path, reason: "it is not in C order (use numpy.ascontiguousarray)")
    }
    guard let size = ["<f4": 4, "<f8": 8][header.descr] else {
      throw .unsupportedType(path: path, tensor: "array", type: header.descr)
    }
    guard let count = TensorEntry.count(of: header.shape) else {
      throw .impossibleShape(path: path, tensor: "array", shape: header.shape)
    }
    guard count <= countLimit else { throw .tooMuch(path: path, what: "numbers", limit: countLimit) }
    let expected = dataStart + count * size
    guard bytes.count >= expected else { throw .truncated(path: path, expected: expected, actual: bytes.count) }
    return Tensor(header.shape) { out in
      for i in 0..<count {
        let offset = dataStart + i * size
        out[i] =
          size == 4
          ? bytes.loadUnaligned(fromByteOffset: offset, as: Float.self)
          : Float(bytes.loadUnaligned(fromByteOffset: offset, as: Double.self))
      }
    }
  }
}

/// The dict literal of a `.npy` file: `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }` and spaces. Its three
/// keys, each once and no other, as `numpy.lib.format` wants it.
private struct NumpyHeader {
  private let bytes: [UInt8]
  private let path: String
  private var position = 0

  init(_ bytes: [UInt8], path: String) { (self.bytes, self.path) = (bytes, path) }

  mutating func read() throws(CheckpointError) -> (descr: String, isFortranOrder: Bool, shape: [Int]) {
    var descr: String?
    var order: Bool?
    var shape: [Int]?
    try expect("{")
    while !take("}") {
      let key = try text()
      try expect(":")
      let isFirst: Bool
      switch key {
      case "descr":
        isFirst = descr == nil
        descr = try text()
      case "fortran_order":
        isFirst = order == nil
        order = try flag()
      case "shape":
        isFirst = shape == nil
        shape = try tuple()
      default: throw .malformed(path: path, reason: "its header has the key '\(key)'")
      }
      guard isFirst else { throw .duplicateName(path: path, name: key) }
      if !take(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard position == bytes.count else { throw malformed("its end") }
    guard let descr, let order, let shape else {
      throw .malformed(path: path, reason: "its header needs descr, fortran_order and shape")
    }
    return (descr, order, shape)
  }

  private func malformed(_ expected: String) -> CheckpointError {
    .malformed(path: path, reason: "its header wants \(expected) at its byte \(position)")
  }

  private mutating func skipSpace() {
    while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x0a { position += 1 }
  }

  private mutating func take(_ word: StaticString) -> Bool {
    skipSpace()
    let count = word.utf8CodeUnitCount
    guard bytes.count - position >= count else { return false }
    for i in 0..<count where bytes[position + i] != word.utf8Start[i] { return false }
    position += count
    return true
  }

  private mutating func expect(_ word: StaticString) throws(CheckpointError) {
    guard take(word) else { throw malformed("'\(word)'") }
  }

  private mutating func flag() throws(CheckpointError) -> Bool {
    if take("True") { return true }
    guard take("False") else { throw malformed("True or False") }
    return false
  }

  /// A string in single quotes, as numpy writes it.
  private mutating func text() throws(CheckpointError) -> String {
    try expect("'")
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "'"), position - start < 64 { position += 1 }
    let result = String(decoding: bytes[start..<position], as: UTF8.self)
    try expect("'")
    return result
  }

  private mutating func tuple() throws(CheckpointError) -> [Int] {
    var lengths: [Int] = []
    try expect("(")
    while !take(")") {
      skipSpace()
      let start = position
      while position < bytes.count, "-0123456789".utf8.contains(bytes[position]), position - start < 64 {
        position += 1
      }
      let digits = String(decoding: bytes[start..<position], as: UTF8.self)
      guard digits.utf8.contains(where: { $0 != UInt8(ascii: "-") }) else { throw malformed("a length") }
      // One that fits no `Int` fits no file either.
      let length = Int(digits) ?? .max
      guard lengths.count < TensorEntry.axisLimit else {
        throw .tooMuch(path: path, what: "axes", limit: TensorEntry.axisLimit)
      }
      lengths.append(length)
      if !take(",") {
        try expect(")")
        break
      }
    }
    return lengths
  }
}
