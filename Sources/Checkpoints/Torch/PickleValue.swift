/// What a pickle of tensors can hold. Lists and dictionaries are references, as in Python: a later opcode may still fill one.
enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case string(String)
  case bytes([UInt8])
  case tuple([PickleValue])
  case list(PickleList)
  case dictionary(PickleDictionary)
  /// A class or function by its full name, one of the few that are known.
  case global(String)
  case storage(TorchStorage)
  case tensor(TorchTensor)
  /// Something of a known harmless class that is of no use here, such as a dtype.
  case opaque
}

final class PickleList {
  var items: [PickleValue] = []
}

final class PickleDictionary {
  var items: [(key: PickleValue, value: PickleValue)] = []

  subscript(key: String) -> PickleValue? {
    items.last { if case .string(let name) = $0.key { name == key } else { false } }?.value
  }
}

/// A run of numbers in the file that tensors share.
struct TorchStorage: Equatable {
  let type: ElementType
  let key: String
  let count: Int
}

/// A view of a storage.
struct TorchTensor: Equatable {
  let storage: TorchStorage
  /// In numbers from the storage's start.
  let offset: Int
  let shape: [Int]
  let strides: [Int]
}
