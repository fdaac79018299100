import Tensors

/// The rotated keys and the values of a sequence's first tokens, layer by layer. Grows as the sequence does.
public struct KeyValueCache: Sendable {
  struct Layer: Sendable {
    /// `[capacity, keyHeads·d]`, as are `values`.
    var keys: Tensor
    var values: Tensor
  }

  var layers: [Layer]
  /// How many positions are held.
  public private(set) var count = 0
  private var capacity: Int
  private let width: Int

  init(layers: Int, width: Int, capacity: Int) {
    self.capacity = max(capacity, 1)
    self.width = width
    let empty = Tensor([self.capacity, width])
    self.layers = Array(repeating: Layer(keys: empty, values: empty), count: layers)
  }

  /// The bytes held, for admission and statistics.
  public var byteCount: Int { layers.count * 2 * capacity * width * 4 }

  /// Writes the keys and values of new positions in one layer; `advance` counts them when all layers have theirs.
  mutating func write(_ keys: Tensor, _ values: Tensor, layer: Int) {
    if count + keys.shape[0] > capacity { grow(to: max(2 * capacity, count + keys.shape[0])) }
    layers[layer].keys.replaceRows(from: count, with: keys)
    layers[layer].values.replaceRows(from: count, with: values)
  }

  mutating func advance(by tokens: Int) { count += tokens }

  /// One layer with `pending` positions that were written and not counted yet.
  func segment(layer: Int, pending: Int = 0, limit: Int? = nil) -> KeyValueSegment {
    KeyValueSegment(keys: layers[layer].keys, values: layers[layer].values, count: (limit ?? count) + pending)
  }

  private mutating func grow(to newCapacity: Int) {
    for i in layers.indices {
      var (keys, values) = (Tensor([newCapacity, width]), Tensor([newCapacity, width]))
      keys.replaceRows(from: 0, with: layers[i].keys)
      values.replaceRows(from: 0, with: layers[i].values)
      layers[i] = Layer(keys: keys, values: values)
    }
    capacity = newCapacity
  }
}
