import Tensors

/// How a stored number is written.
public enum ElementType: String, Sendable, CaseIterable {
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"

  var size: Int { self == .float32 ? 4 : 2 }
}

/// A named tensor as it lies in a file: where, of what type and shape. Nothing is read until `tensor()`.
public struct TensorEntry: Sendable, Equatable {
  public let type: ElementType
  public let shape: [Int]
  let offset: Int
  let length: Int
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
}

/// Opens a checkpoint by its content, whatever its name.
public func openCheckpoint(_ path: String) throws(CheckpointError) -> any Checkpoint {
  let file = try MappedFile(path: path)
  if SafetensorsFile.recognises(file.bytes) { return try SafetensorsFile(file) }
  throw .unrecognised(path: path, reason: "it begins like none of: safetensors")
}
