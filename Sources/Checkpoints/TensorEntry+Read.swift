import Tensors

/// The float32 tensor of an entry that is known to lie inside the file: a view of it where it can be one.
func makeTensor(_ entry: TensorEntry, in file: MappedFile) -> Tensor {
  guard entry.count > 0, let base = file.bytes.baseAddress else { return Tensor(entry.shape) }
  let first = base + entry.offset
  if entry.type.blockLength > 1 {
    return view(entry, rows: entry.count / entry.columns, first: first, owner: file).dequantized()
      .reshaped(entry.shape)
  }
  if let strides = entry.strides { return makeStrided(entry, strides: strides, first: first, owner: file) }
  if entry.type == .float32, Int(bitPattern: first) % MemoryLayout<Float>.alignment == 0 {
    return Tensor(entry.shape, borrowing: first.assumingMemoryBound(to: Float.self), owner: file)
  }
  return Tensor(entry.shape) { out in
    withExtendedLifetime(file) {
      convert(entry.type, from: first, stride: 1, count: out.count, to: out.baseAddress)
    }
  }
}

/// A tensor as a matrix: a view of the file where a matrix can be one, float32 otherwise.
func makeMatrix(
  _ key: String, _ entry: TensorEntry, shape expected: [Int], in file: MappedFile
) throws(CheckpointError) -> WeightMatrix {
  precondition(expected.count == 2)
  guard fits(entry.shape, expected) else {
    throw .shapeMismatch(key: key, expected: expected, actual: entry.shape)
  }
  guard entry.count > 0, entry.strides == nil, entry.type.weightFormat != nil, let base = file.bytes.baseAddress else {
    return WeightMatrix(makeTensor(entry, in: file))
  }
  return view(entry, rows: entry.shape[0], first: base + entry.offset, owner: file)
}

/// - Parameter entry: dense, of a type that has a `weightFormat`.
private func view(_ entry: TensorEntry, rows: Int, first: UnsafeRawPointer, owner: MappedFile) -> WeightMatrix {
  guard let format = entry.type.weightFormat else { preconditionFailure("\(entry.type) is no format of weights") }
  return WeightMatrix(rows: rows, columns: entry.columns, format: format, borrowing: first, owner: owner)
}

extension TensorEntry {
  /// The length of the last axis.
  fileprivate var columns: Int { shape.last ?? 1 }
}

/// A tensor whose numbers do not lie in order, such as a transposed parameter: gathered line by line of the last axis.
private func makeStrided(
  _ entry: TensorEntry, strides: [Int], first: UnsafeRawPointer, owner: MappedFile
) -> Tensor {
  let (shape, size) = (entry.shape, entry.type.size)
  return Tensor(shape) { out in
    guard let line = shape.last, let lineStride = strides.last, let to = out.baseAddress else { return }
    var index = [Int](repeating: 0, count: shape.count)
    for start in stride(from: 0, to: out.count, by: line) {
      let position = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
      convert(entry.type, from: first + position * size, stride: lineStride, count: line, to: to + start)
      var axis = shape.count - 2
      while axis >= 0 {
        index[axis] += 1
        if index[axis] < shape[axis] { break }
        index[axis] = 0
        axis -= 1
      }
    }
    withExtendedLifetime(owner) {}
  }
}

/// Reads `count` numbers, `stride` apart, as float32. Files need not align what they hold.
private func convert(
  _ type: ElementType, from source: UnsafeRawPointer, stride: Int, count: Int, to target: UnsafeMutablePointer<Float>?
) {
  guard let target else { return }
  func each<T>(_: T.Type, _ body: (T) -> Float) {
    let step = stride * MemoryLayout<T>.size
    for i in 0..<count { target[i] = body(source.loadUnaligned(fromByteOffset: i * step, as: T.self)) }
  }
  switch type {
  case .float64: each(Double.self) { Float($0) }
  case .float32: each(Float.self) { $0 }
  case .float16: each(UInt16.self) { Float(halfBits: $0) }
  case .bfloat16: each(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
  case .int64: each(Int64.self) { Float($0) }
  case .int32: each(Int32.self) { Float($0) }
  case .int16: each(Int16.self) { Float($0) }
  case .int8: each(Int8.self) { Float($0) }
  case .uint8, .bool: each(UInt8.self) { Float($0) }
  case .q8_0, .q4_0, .q4_K, .q6_K: preconditionFailure("blocks are read as matrices")
  }
}

extension Float {
  /// An IEEE half-precision number from its bits; in integers, since `Float16` is not on every architecture.
  init(halfBits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1f
    let fraction = UInt32(bits & 0x3ff)
    switch exponent {
    case 0:  // zero and the subnormals, fraction · 2⁻²⁴
      let magnitude = Float(fraction) * 0x1p-24
      self = Float(bitPattern: magnitude.bitPattern | sign)
    case 31: self = Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
    default: self = Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
