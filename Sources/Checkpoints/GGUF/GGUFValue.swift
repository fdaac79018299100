/// The types that a value of GGUF's metadata may have, by their numbers in the file. Source: ggml's docs/gguf.md.
public enum GGUFType: UInt32, Sendable, CaseIterable {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// In bytes; nil where values differ in length.
  var size: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

/// A value of GGUF's metadata as a file holds it: one value, or an array of values that are no arrays.
public struct GGUFValue: Sendable, Equatable {
  /// Of the value, or of each of an array's.
  public let type: GGUFType
  /// How many values an array has; nil for what is no array.
  public let count: Int?
  /// As in the file, behind type and count.
  let payload: [UInt8]

  init(type: GGUFType, count: Int?, payload: [UInt8]) {
    precondition(type != .array)
    (self.type, self.count, self.payload) = (type, count, payload)
  }

  public static func uint32(_ value: UInt32) -> GGUFValue {
    GGUFValue(type: .uint32, count: nil, payload: Self.little(value))
  }
  public static func uint64(_ value: UInt64) -> GGUFValue {
    GGUFValue(type: .uint64, count: nil, payload: Self.little(value))
  }
  public static func float32(_ value: Float) -> GGUFValue {
    GGUFValue(type: .float32, count: nil, payload: Self.little(value.bitPattern))
  }
  public static func bool(_ value: Bool) -> GGUFValue {
    GGUFValue(type: .bool, count: nil, payload: [value ? 1 : 0])
  }
  public static func string(_ value: String) -> GGUFValue {
    GGUFValue(type: .string, count: nil, payload: Self.counted(Array(value.utf8)))
  }
  public static func int32s(_ values: [Int32]) -> GGUFValue {
    GGUFValue(type: .int32, count: values.count, payload: values.flatMap { Self.little($0) })
  }
  public static func float32s(_ values: [Float]) -> GGUFValue {
    GGUFValue(type: .float32, count: values.count, payload: values.flatMap { Self.little($0.bitPattern) })
  }
  /// Strings of any bytes: a tokenizer's pieces need not be UTF-8.
  public static func strings(_ values: [[UInt8]]) -> GGUFValue {
    GGUFValue(type: .string, count: values.count, payload: values.flatMap { Self.counted($0) })
  }

  /// What stands in a file for this value: type, count if it is an array, and the rest.
  var encoded: [UInt8] {
    guard let count else { return Self.little(type.rawValue) + payload }
    return Self.little(GGUFType.array.rawValue) + Self.little(type.rawValue) + Self.little(UInt64(count)) + payload
  }

  static func counted(_ bytes: [UInt8]) -> [UInt8] { little(UInt64(bytes.count)) + bytes }

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
