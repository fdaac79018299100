/// The metadata as Swift's values. What is not there is nil; what is of another type is an error that names the key.
extension GGUFFile {
  /// A whole number of any of the integer types.
  public func integer(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max) throws(CheckpointError) -> Int? {
    guard let value = value(key) else { return nil }
    guard value.count == nil, let number = value.integers?.first else { throw wrong(key, "a whole number", value) }
    guard range.contains(number) else {
      throw .wrongValue(
        path: path, key: key, expected: "\(range.lowerBound)…\(range.upperBound)", found: String(number))
    }
    return number
  }

  /// A finite number.
  public func number(_ key: String) throws(CheckpointError) -> Float? {
    guard let value = value(key) else { return nil }
    guard value.count == nil, let number = value.numbers?.first else { throw wrong(key, "a number", value) }
    guard number.isFinite else { throw .wrongValue(path: path, key: key, expected: "a number", found: "\(number)") }
    return number
  }

  public func bool(_ key: String) throws(CheckpointError) -> Bool? {
    guard let value = value(key) else { return nil }
    guard value.count == nil, value.type == .bool else { throw wrong(key, "a bool", value) }
    return value.payload != [0]
  }

  public func string(_ key: String) throws(CheckpointError) -> String? {
    guard let value = value(key) else { return nil }
    guard value.count == nil, let text = value.strings?.first else { throw wrong(key, "a string", value) }
    return String(decoding: text, as: UTF8.self)
  }

  /// An array of whole numbers, or one such number.
  public func integers(_ key: String) throws(CheckpointError) -> [Int]? {
    guard let value = value(key) else { return nil }
    guard let numbers = value.integers else { throw wrong(key, "whole numbers", value) }
    return numbers
  }

  /// An array of numbers.
  public func numbers(_ key: String) throws(CheckpointError) -> [Float]? {
    guard let value = value(key) else { return nil }
    guard value.count != nil, let numbers = value.numbers else { throw wrong(key, "an array of numbers", value) }
    return numbers
  }

  /// An array of strings, of any bytes.
  public func strings(_ key: String) throws(CheckpointError) -> [ArraySlice<UInt8>]? {
    guard let value = value(key) else { return nil }
    guard value.count != nil, let strings = value.strings else { throw wrong(key, "an array of strings", value) }
    return strings
  }

  private func wrong(_ key: String, _ expected: String, _ value: GGUFValue) -> CheckpointError {
    .wrongValue(path: path, key: key, expected: expected, found: Self.describe(value.type, value.count))
  }
}

extension GGUFValue {
  private func map<T, R>(_: T.Type, _ body: (T) -> R) -> [R] {
    payload.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size).map {
        body(bytes.loadUnaligned(fromByteOffset: $0, as: T.self))
      }
    }
  }

  /// Every value, or nil if they are no integers; 2⁶³ and more become the largest.
  var integers: [Int]? {
    switch type {
    case .uint8: map(UInt8.self) { Int($0) }
    case .int8: map(Int8.self) { Int($0) }
    case .uint16: map(UInt16.self) { Int(UInt16(littleEndian: $0)) }
    case .int16: map(Int16.self) { Int(Int16(littleEndian: $0)) }
    case .uint32: map(UInt32.self) { Int(UInt32(littleEndian: $0)) }
    case .int32: map(Int32.self) { Int(Int32(littleEndian: $0)) }
    case .uint64: map(UInt64.self) { Int(clamping: UInt64(littleEndian: $0)) }
    case .int64: map(Int64.self) { Int(Int64(littleEndian: $0)) }
    case .float32, .float64, .bool, .string, .array: nil
    }
  }

  var numbers: [Float]? {
    switch type {
    case .float32: map(UInt32.self) { Float(bitPattern: UInt32(littleEndian: $0)) }
    case .float64: map(UInt64.self) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
    default: integers.map { $0.map { Float($0) } }
    }
  }

  var strings: [ArraySlice<UInt8>]? {
    guard type == .string else { return nil }
    var (result, position): ([ArraySlice<UInt8>], Int) = ([], 0)
    while position < payload.count {
      let length = payload.withUnsafeBytes {
        Int(UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
      }
      result.append(payload[position + 8..<position + 8 + length])
      position += 8 + length
    }
    return result
  }
}
