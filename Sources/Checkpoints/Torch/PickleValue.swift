/// What a pickle of tensors can hold. Containers are references, as in Python: a later opcode may still fill one.
enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case string(String)
  case tuple(PickleList)
  case list(PickleList)
  case dictionary(PickleDictionary)
  /// A class or function by its full name, one of the few that are known.
  case global(String)
  indirect case storage(TorchStorage)
  indirect case tensor(TorchTensor)
  /// Something of a known harmless kind that is of no use here, such as a dtype or bytes.
  case opaque
}

final class PickleList {
  var items: [PickleValue]
  init(_ items: [PickleValue]) { self.items = items }
}

final class PickleDictionary {
  var items: [(key: PickleValue, value: PickleValue)] = []

  subscript(key: String) -> PickleValue? {
    items.last { if case .string(let name) = $0.key { name == key } else { false } }?.value
  }
}

/// Every container of a pickle. At its end it empties them one by one: containers that hold each other would never be
/// freed, and a million inside one another would be freed by a million nested calls.
final class PickleArena {
  private var lists: [PickleList] = []
  private var dictionaries: [PickleDictionary] = []

  func list(_ items: [PickleValue] = []) -> PickleList {
    let list = PickleList(items)
    lists.append(list)
    return list
  }

  func dictionary() -> PickleDictionary {
    let dictionary = PickleDictionary()
    dictionaries.append(dictionary)
    return dictionary
  }

  deinit {
    for list in lists { list.items = [] }
    for dictionary in dictionaries { dictionary.items = [] }
  }
}

/// An unpickled object, and what keeps its containers filled.
struct Pickle {
  let root: PickleValue
  let arena: PickleArena
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
