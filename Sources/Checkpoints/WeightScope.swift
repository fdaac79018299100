import Tensors

/// A place in a checkpoint's tree of names, as PyTorch modules nest: `scope["blocks"][3]["attn"]`.
///
/// A model's initialisers take a scope and read from it by the names the reference uses, so the checkpoint key is
/// written beside the field it fills.
public struct WeightScope: Sendable {
  public let checkpoint: any Checkpoint
  /// The names above this place, each with its dot: `image_encoder.blocks.3.`
  public let prefix: String
  /// Of the products by matrices from here.
  public let precision: Precision

  public init(_ checkpoint: any Checkpoint, prefix: String = "", precision: Precision = .fp32) {
    self.checkpoint = checkpoint
    self.prefix = prefix
    self.precision = precision
  }

  public subscript(name: String) -> WeightScope {
    WeightScope(checkpoint, prefix: prefix + name + ".", precision: precision)
  }
  public subscript(index: Int) -> WeightScope { self[String(index)] }

  /// The same place, for products of another precision.
  public func computing(in precision: Precision) -> WeightScope {
    WeightScope(checkpoint, prefix: prefix, precision: precision)
  }

  /// Whether there is a tensor of this name here.
  public func has(_ name: String) -> Bool { checkpoint.shape(of: prefix + name) != nil }

  /// The shape of a tensor here, or an error that names it.
  public func shape(_ name: String) throws(CheckpointError) -> [Int] {
    guard let shape = checkpoint.shape(of: prefix + name) else {
      throw .missing(key: prefix + name, path: checkpoint.path)
    }
    return shape
  }

  /// A tensor that must have the given shape; -1 admits any length but 0 on that axis.
  public func tensor(_ name: String, _ expected: [Int]) throws(CheckpointError) -> Tensor {
    try checkpoint.tensor(prefix + name, shape: expected)
  }

  /// A matrix `[rows, columns]` that stays as its file stores it.
  public func matrix(_ name: String, _ expected: [Int]) throws(CheckpointError) -> WeightMatrix {
    try checkpoint.matrix(prefix + name, shape: expected)
  }

  /// How many numbered children `0, 1, 2, …` have a tensor called `name`.
  public func count(having name: String) -> Int {
    var n = 0
    while self[n].has(name) { n += 1 }
    return n
  }
}
