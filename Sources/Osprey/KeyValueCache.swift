import Tensors

/// The rotated keys and the values of a sequence's first tokens, layer by layer. Grows as the sequence does, until it is
/// packed.
public struct KeyValueCache: Sendable {
  private struct Layer: Sendable {
    /// `[capacity, keyHeads·d]`, as are `values`.
    var keys: Tensor
    var values: Tensor
  }

  private struct PackedLayer: Sendable {
    let keys: PackedRows
    let values: PackedRows
  }

  /// Empty once it is packed.
  private var layers: [Layer]
  private var packed: [PackedLayer] = []
  /// How many positions are held.
  public private(set) var count = 0
  private var capacity: Int
  private let width: Int
  public private(set) var format = CacheFormat.fp32

  init(layers: Int, width: Int, capacity: Int) {
    self.capacity = max(capacity, 1)
    self.width = width
    // One tensor for all, until each is written to.
    let empty = Tensor([self.capacity, width])
    self.layers = Array(repeating: Layer(keys: empty, values: empty), count: layers)
  }

  /// A cache that holds nothing and never will.
  static let none = KeyValueCache(layers: 0, width: 1, capacity: 1)

  /// The bytes held, for admission and statistics.
  public var byteCount: Int {
    layers.count * 2 * capacity * width * 4 + packed.reduce(0) { $0 + $1.keys.byteCount + $1.values.byteCount }
  }

  /// Writes the keys and values of new positions in one layer; `advance` counts them when all layers have theirs.
  mutating func write(_ keys: Tensor, _ values: Tensor, layer: Int) {
    precondition(packed.isEmpty, "a packed cache does not grow")
    if count + keys.shape[0] > capacity { grow(to: max(2 * capacity, count + keys.shape[0])) }
    layers[layer].keys.replaceRows(from: count, with: keys)
    layers[layer].values.replaceRows(from: count, with: values)
  }

  mutating func advance(by tokens: Int) { count += tokens }

  /// One layer with `pending` positions that were written and not counted yet.
  func segment(layer: Int, pending: Int = 0, limit: Int? = nil) -> KeyValueSegment {
    let count = (limit ?? count) + pending
    guard packed.isEmpty else {
      return KeyValueSegment(keys: packed[layer].keys, values: packed[layer].values, count: count)
    }
    return KeyValueSegment(keys: layers[layer].keys, values: layers[layer].values, count: count)
  }

  /// Whether both hold the same positions in the same memory, at little cost: copies of a cache do until one is written to.
  func isSame(as other: KeyValueCache) -> Bool {
    guard count == other.count, count > 0, layers.count == other.layers.count, packed.count == other.packed.count,
      !(layers.isEmpty && packed.isEmpty)
    else { return false }
    return segment(layer: 0).isSame(as: other.segment(layer: 0))
  }

  /// Gives up growing for fewer bytes. Layer by layer, so that both forms of all of them never lie in memory at once.
  ///
  /// - Parameter heads: of keys and values; attention widens one at a time.
  mutating func pack(as format: CacheFormat, heads: Int) {
    guard format != .fp32, packed.isEmpty else { return }
    let hollow = Layer(keys: Tensor([0]), values: Tensor([0]))
    for i in layers.indices {
      packed.append(
        PackedLayer(
          keys: PackedRows(layers[i].keys, count: count, heads: heads, format: format),
          values: PackedRows(layers[i].values, count: count, heads: heads, format: format)))
      layers[i] = hollow
    }
    layers = []
    (capacity, self.format) = (count, format)
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
