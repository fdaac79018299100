/// The classes and functions that a pickle of tensors may name, and what calling them means here.
enum TorchGlobals {
  /// torch's keys are small numbers.
  private static let keyLimit = 256

  private static let storages: [String: ElementType] = [
    "torch.DoubleStorage": .float64, "torch.FloatStorage": .float32, "torch.HalfStorage": .float16,
    "torch.BFloat16Storage": .bfloat16, "torch.LongStorage": .int64, "torch.IntStorage": .int32,
    "torch.ShortStorage": .int16, "torch.CharStorage": .int8, "torch.ByteStorage": .uint8, "torch.BoolStorage": .bool,
    // Bytes whose type the tensor gives; torch pickles tensors of today's dtypes through the typed classes above.
    "torch.storage.UntypedStorage": .uint8,
  ]

  private static let rebuilders: Set<String> = [
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter",
  ]

  private static let harmless: Set<String> = [
    "torch.Size", "torch.device", "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16", "torch.int64",
    "torch.int32", "torch.int16", "torch.int8", "torch.uint8", "torch.bool",
  ]

  static func isKnown(_ name: String) -> Bool {
    name == "collections.OrderedDict" || storages[name] != nil || rebuilders.contains(name) || harmless.contains(name)
  }

  /// What `name(*arguments)` gives.
  static func call(
    _ function: PickleValue, _ arguments: [PickleValue], arena: PickleArena, path: String
  ) throws(CheckpointError) -> PickleValue {
    guard case .global(let name) = function else {
      throw .malformed(path: path, reason: "its pickle calls something that is no function")
    }
    switch name {
    case "collections.OrderedDict": return .dictionary(arena.dictionary())
    case "torch._utils._rebuild_parameter":
      guard let tensor = arguments.first, case .tensor = tensor else { throw unusable(name, path) }
      return tensor
    case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
      guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .int(let offset) = arguments[1],
        let shape = try lengths(arguments[2], path), let strides = try lengths(arguments[3], path)
      else { throw unusable(name, path) }
      return .tensor(try tensor(storage, offset: offset, shape: shape, strides: strides, path: path))
    default: return .opaque
    }
  }

  /// A persistent id: `('storage', class, key, location, count)`, with a view's metadata behind it in old files.
  static func storage(_ id: PickleValue, path: String) throws(CheckpointError) -> TorchStorage {
    guard case .tuple(let list) = id else { throw unusable("persistent id", path) }
    let parts = list.items
    guard parts.count >= 5, case .string("storage") = parts[0], case .global(let kind) = parts[1],
      let type = storages[kind], case .string(let key) = parts[2], case .int(let count) = parts[4]
    else { throw unusable("persistent id", path) }
    guard key.utf8.count <= keyLimit else {
      throw .tooMuch(path: path, what: "bytes in a storage's key", limit: keyLimit)
    }
    guard let count = TensorEntry.count(of: [count]) else {
      throw .impossibleShape(path: path, tensor: "storage \(key)", shape: [count])
    }
    return TorchStorage(type: type, key: key, count: count)
  }

  /// Checks that a view lies inside its storage.
  private static func tensor(
    _ storage: TorchStorage, offset: Int, shape: [Int], strides: [Int], path: String
  ) throws(CheckpointError) -> TorchTensor {
    guard let count = TensorEntry.count(of: shape) else {
      throw .impossibleShape(path: path, tensor: "storage \(storage.key)", shape: shape)
    }
    let impossible = CheckpointError.impossibleView(
      path: path, shape: shape, strides: strides, offset: offset, storage: storage.count)
    // Zero strides would let a small storage stand for a huge tensor.
    guard shape.count == strides.count, offset >= 0, count <= storage.count else { throw impossible }
    var last = offset
    for (length, stride) in zip(shape, strides) {
      let (reach, overflow) = max(length - 1, 0).multipliedReportingOverflow(by: stride)
      let (sum, overran) = last.addingReportingOverflow(reach)
      guard stride >= 0, !overflow, !overran else { throw impossible }
      last = sum
    }
    guard count == 0 || last < storage.count else { throw impossible }
    return TorchTensor(storage: storage, offset: offset, shape: shape, strides: strides)
  }

  /// The whole numbers of a tuple, or nil if it is none.
  private static func lengths(_ value: PickleValue, _ path: String) throws(CheckpointError) -> [Int]? {
    guard case .tuple(let list) = value else { return nil }
    guard list.items.count <= TensorEntry.axisLimit else {
      throw .tooMuch(path: path, what: "axes of a tensor", limit: TensorEntry.axisLimit)
    }
    var result: [Int] = []
    for item in list.items {
      guard case .int(let number) = item else { return nil }
      result.append(number)
    }
    return result
  }

  private static func unusable(_ name: String, _ path: String) -> CheckpointError {
    .malformed(path: path, reason: "its pickle gives \(name) arguments that make no tensor")
  }
}
