import Tensors

/// What a GGUF file is to hold.
public struct GGUFContent: Sendable {
  /// In the file's order; each key once.
  public var metadata: [(key: String, value: GGUFValue)]
  /// In the file's order; each name once.
  public var tensors: [GGUFTensor]

  public init(metadata: [(key: String, value: GGUFValue)] = [], tensors: [GGUFTensor] = []) {
    (self.metadata, self.tensors) = (metadata, tensors)
  }
}

/// A tensor to be written, and where its numbers come from. Nothing is read before it is its turn.
public struct GGUFTensor: Sendable {
  public let name: String
  public let shape: [Int]
  public let type: ElementType
  private let source: Source

  private enum Source: Sendable {
    /// As they are in another GGUF.
    case stored(GGUFFile, key: String)
    case numbers(any Checkpoint, key: String, rows: [Int]?)
    case values([Float])
  }

  /// A tensor of another checkpoint.
  ///
  /// - Parameters:
  ///   - type: how it is to be stored; its blocks must fill the rows.
  ///   - rows: the order in which its rows are to come; as they are if nil.
  public init(
    _ name: String, as type: ElementType, from checkpoint: any Checkpoint, key: String, rows: [Int]? = nil
  ) throws(CheckpointError) {
    guard let shape = checkpoint.shape(of: key) else { throw .missing(key: key, path: checkpoint.path) }
    precondition(rows.map { $0.count == shape.first } ?? true)
    (self.name, self.shape, self.type) = (name, shape, type)
    if let file = checkpoint as? GGUFFile, file.type(of: key) == type, rows == nil {
      source = .stored(file, key: key)
    } else {
      source = .numbers(checkpoint, key: key, rows: rows)
    }
  }

  /// A float32 vector of these numbers.
  public init(_ name: String, values: [Float]) {
    (self.name, shape, type, source) = (name, [values.count], .float32, .values(values))
  }

  var byteCount: Int { type.byteCount(of: shape.reduce(1, *)) }

  /// How many numbers are converted at once.
  private static let piece = 1 << 22

  /// Gives the bytes piece by piece.
  func emit(_ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void) throws(CheckpointError) {
    guard byteCount > 0 else { return }
    switch source {
    case .stored(let file, let key):
      try file.withBytes(of: key) { bytes throws(CheckpointError) in
        for start in stride(from: 0, to: bytes.count, by: 4 * Self.piece) {
          try write(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 4 * Self.piece, bytes.count)]))
        }
      }
    case .values(let values): try encode(Tensor([values.count], values), columns: values.count, path: "", write)
    case .numbers(let checkpoint, let key, let rows):
      guard shape.count == 2, shape[1] > 0 else {
        var tensor = try checkpoint.tensor(key)
        if let rows {
          let values = tensor.values
          tensor = Tensor(shape, rows.map { values[$0] })
        }
        return try encode(tensor, columns: shape.last ?? 1, path: checkpoint.path, write)
      }
      let matrix = try checkpoint.matrix(key, shape: shape)
      let step = max(1, Self.piece / shape[1])
      for start in stride(from: 0, to: shape[0], by: step) {
        let range = start..<min(start + step, shape[0])
        let some = matrix.dequantized(rows: rows.map { Array($0[range]) } ?? Array(range))
        try encode(some, columns: shape[1], path: checkpoint.path, write)
      }
    }
  }

  private func encode(
    _ tensor: Tensor, columns: Int, path: String, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    guard tensor.count > 0 else { return }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: type.byteCount(of: tensor.count), alignment: 64)
    defer { bytes.deallocate() }
    guard let target = bytes.baseAddress else { return }
    if let wrong = tensor.withUnsafe({ Quantizer.encode($0, columns: columns, as: type, to: target) }) {
      throw .unrepresentable(path: path, tensor: name, value: wrong, type: type.rawValue)
    }
    try write(UnsafeRawBufferPointer(bytes))
  }
}
