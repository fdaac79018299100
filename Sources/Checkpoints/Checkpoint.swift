import Tensors

/// A checkpoint: named tensors in a mapped file.
public protocol Checkpoint: Sendable {
  /// The file or folder, for messages.
  var path: String { get }
  /// Every file that it is read from.
  var files: [String] { get }
  /// Every tensor's name.
  var keys: [String] { get }
  /// The shape of a tensor, or nil if there is none of that name.
  func shape(of key: String) -> [Int]?
  /// The stored type of a tensor, or nil if there is none of that name, or it is of a type that is not read.
  func type(of key: String) -> ElementType?
  /// The same by the name that the format gives it; also of types that are not read.
  func typeName(of key: String) -> String?
  /// The tensor in float32: a view of the file where it is stored so, converted otherwise.
  func tensor(_ key: String) throws(CheckpointError) -> Tensor
  /// The same, of a tensor that must have the given shape; -1 admits any length but 0 on that axis.
  func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor
  /// A tensor `[rows, columns]` that stays as it is stored: a view of the file where that is dense floats of 16 or 32 bits
  /// or ggml's blocks, float32 otherwise. -1 admits any length but 0 on that axis.
  func matrix(_ key: String, shape: [Int]) throws(CheckpointError) -> WeightMatrix
}

extension Checkpoint {
  public var files: [String] { [path] }

  public func typeName(of key: String) -> String? { type(of: key)?.rawValue }

  public func matrix(_ key: String, shape expected: [Int]) throws(CheckpointError) -> WeightMatrix {
    precondition(expected.count == 2)
    return WeightMatrix(try tensor(key, shape: expected))
  }

  public func tensor(_ key: String, shape expected: [Int]) throws(CheckpointError) -> Tensor {
    guard let actual = shape(of: key) else { throw .missing(key: key, path: path) }
    guard fits(actual, expected) else {
      throw .shapeMismatch(key: key, expected: expected, actual: actual)
    }
    return try tensor(key)
  }
}

/// Whether a shape is the one that is asked for; there, -1 admits any length but 0.
func fits(_ actual: [Int], _ expected: [Int]) -> Bool {
  actual.count == expected.count && zip(actual, expected).allSatisfy { $1 < 0 ? $0 > 0 : $0 == $1 }
}

/// Whether a file is called what checkpoints are usually called; what it is, its content tells.
public func isNamedAsCheckpoint(_ path: String) -> Bool {
  [".safetensors", ".bin", ".pth", ".pt", ".gguf"].contains { path.hasSuffix($0) }
}

/// Opens a checkpoint by its content, whatever its name: safetensors, a torch zip archive, torch's older format, or GGUF.
public func openCheckpoint(_ path: String) throws(CheckpointError) -> any Checkpoint {
  let file = try MappedFile(path: path)
  if ZipArchive.recognises(file.bytes) { return try TorchFile(zip: file) }
  if TorchFile.recognisesLegacy(file.bytes) { return try TorchFile(legacy: file) }
  if GGUFFile.recognises(file.bytes) { return try GGUFFile(file) }
  if SafetensorsFile.recognises(file.bytes) { return try SafetensorsFile(file) }
  throw .unrecognised(path: path, reason: "it begins like none of: safetensors, torch zip, torch before 1.6, GGUF")
}
