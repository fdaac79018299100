import Tensors

/// How a stored number is written; the raw values are safetensors' names.
public enum ElementType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint8 = "U8"
  case bool = "BOOL"

  /// In bytes.
  public var size: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .int8, .uint8, .bool: 1
    }
  }
}

/// A named tensor as it lies in a file: where, of what type, shape and strides. Nothing is read until `tensor()`.
public struct TensorEntry: Sendable, Equatable {
  public let type: ElementType
  public let shape: [Int]
  /// The distance between neighbours on each axis, in numbers; nil where the tensor is dense and row-major.
  let strides: [Int]?
  /// Of its first number, in bytes from the start of the file.
  let offset: Int

  init(type: ElementType, shape: [Int], strides: [Int]? = nil, offset: Int) {
    (self.type, self.shape, self.offset) = (type, shape, offset)
    self.strides = strides == TensorEntry.denseStrides(shape) ? nil : strides
  }

  /// How many numbers.
  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { count * type.size }

  /// The most axes that a tensor may have.
  static let axisLimit = 16
  /// The most tensors that one file may have.
  static let tensorLimit = 1 << 17

  /// How many numbers a shape from outside holds, or nil where a length is negative or the lengths that are not 0 multiply
  /// to 2⁴⁸ or more: what is computed from a shape that passes does not overflow.
  static func count(of shape: [Int]) -> Int? {
    var product = 1
    for length in shape where length != 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: length)
      guard length > 0, !overflow, next < 1 << 48 else { return nil }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  static func denseStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1) }
    return strides
  }
}

/// A checkpoint: named tensors in a mapped file.
public protocol Checkpoint: Sendable {
  /// The file or folder, for messages.
  var path: String { get }
  /// Every tensor's name.
  var keys: [String] { get }
  /// The shape of a tensor, or nil if there is none of that name.
  func shape(of key: String) -> [Int]?
  /// The stored type of a tensor, or nil if there is none of that name.
  func type(of key: String) -> ElementType?
  /// The tensor in float32: a view of the file where it is stored so, converted otherwise.
  func tensor(_ key: String) throws(CheckpointError) -> Tensor
  /// The same, of a tensor that must have the given shape; -1 admits any length but 0 on that axis.
  func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor
}

extension Checkpoint {
  public func tensor(_ key: String, shape expected: [Int]) throws(CheckpointError) -> Tensor {
    guard let actual = shape(of: key) else { throw .missing(key: key, path: path) }
    guard actual.count == expected.count, zip(actual, expected).allSatisfy({ $1 < 0 ? $0 > 0 : $0 == $1 }) else {
      throw .shapeMismatch(key: key, expected: expected, actual: actual)
    }
    return try tensor(key)
  }
}

/// Opens a checkpoint by its content, whatever its name: safetensors, a torch zip archive, or torch's older format.
public func openCheckpoint(_ path: String) throws(CheckpointError) -> any Checkpoint {
  let file = try MappedFile(path: path)
  if ZipArchive.recognises(file.bytes) { return try TorchFile(zip: file) }
  if TorchFile.recognisesLegacy(file.bytes) { return try TorchFile(legacy: file) }
  if SafetensorsFile.recognises(file.bytes) { return try SafetensorsFile(file) }
  throw .unrecognised(path: path, reason: "it begins like none of: safetensors, torch zip, torch before 1.6")
}
