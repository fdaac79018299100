/// The tensors of an unpickled object, by dotted names.
struct StateDictionary {
  private let object: Pickle
  private let path: String

  /// What trainers wrap a state dictionary in.
  private static let wrappers = ["state_dict", "model_state_dict", "model"]
  private static let depthLimit = 32
  private static let visitLimit = 1 << 20
  /// Of a tensor's whole name, in bytes.
  private static let nameLimit = 1024

  init(_ object: Pickle, path: String) {
    self.object = object
    self.path = path
  }

  /// Every tensor with its place in the file.
  ///
  /// - Parameter locate: where a storage's bytes lie.
  func entries(
    _ locate: (TorchStorage) throws(CheckpointError) -> Range<Int>
  ) throws(CheckpointError) -> [String: TensorEntry] {
    var entries: [String: TensorEntry] = [:]
    for (name, tensor) in try tensors() {
      let range = try locate(tensor.storage)
      let size = tensor.storage.type.size
      guard range.count / size >= tensor.storage.count else {
        throw .impossibleOffsets(
          path: path, tensor: name, begin: range.lowerBound, end: range.upperBound,
          needed: tensor.storage.count * size)
      }
      entries[name] = TensorEntry(
        type: tensor.storage.type, shape: tensor.shape, strides: tensor.strides,
        offset: range.lowerBound + tensor.offset * size)
    }
    guard !entries.isEmpty else { throw .unrecognised(path: path, reason: "it holds no tensors") }
    return entries
  }

  /// The type of each storage, by its key.
  func storageTypes() throws(CheckpointError) -> [String: ElementType] {
    var types: [String: ElementType] = [:]
    for (_, tensor) in try tensors(unwrapping: false) { types[tensor.storage.key] = tensor.storage.type }
    return types
  }

  private func tensors(unwrapping: Bool = true) throws(CheckpointError) -> [(String, TorchTensor)] {
    var found: [(String, TorchTensor)] = []
    var names: Set<String> = []
    var visits = 0
    func visit(_ value: PickleValue, _ name: String, _ depth: Int) throws(CheckpointError) {
      visits += 1
      // A dictionary may hold itself, or one many times: both end here.
      guard depth <= Self.depthLimit else {
        throw .tooMuch(path: path, what: "levels of nesting", limit: Self.depthLimit)
      }
      guard visits <= Self.visitLimit else { throw .tooMuch(path: path, what: "values", limit: Self.visitLimit) }
      switch value {
      case .tensor(let tensor):
        guard names.insert(name).inserted else { throw .duplicateName(path: path, name: name) }
        guard found.count < TensorEntry.tensorLimit else {
          throw .tooMuch(path: path, what: "tensors", limit: TensorEntry.tensorLimit)
        }
        found.append((name, tensor))
      case .dictionary(let dictionary):
        for (key, item) in dictionary.items {
          let step: String
          switch key {
          case .string(let text): step = text
          case .int(let number): step = String(number)
          default: continue
          }
          guard name.utf8.count + step.utf8.count < Self.nameLimit else {
            throw .tooMuch(path: path, what: "bytes in a tensor's name", limit: Self.nameLimit)
          }
          try visit(item, name.isEmpty ? step : "\(name).\(step)", depth + 1)
        }
      case .list(let list):
        for (i, item) in list.items.enumerated() { try visit(item, name.isEmpty ? "\(i)" : "\(name).\(i)", depth + 1) }
      default: break
      }
    }
    try visit(unwrapping ? unwrapped() : object.root, "", 0)
    return found
  }

  private func unwrapped() -> PickleValue {
    var value = object.root
    for _ in 0..<4 {
      guard case .dictionary(let dictionary) = value else { return value }
      let inner = Self.wrappers.lazy.compactMap { name -> PickleValue? in
        guard let item = dictionary[name], case .dictionary = item else { return nil }
        return item
      }.first
      guard let inner else { return value }
      value = inner
    }
    return value
  }
}
