/// A dense, row-major float32 array. Copies share memory until one of them is written to.
public struct Tensor: Sendable {
  /// The lengths of the axes, outermost first.
  public let shape: [Int]
  /// The product of `shape`.
  public let count: Int
  var storage: Storage
  var offset: Int

  init(shape: [Int], storage: Storage, offset: Int) {
    self.shape = shape
    self.count = shape.reduce(1, *)
    self.storage = storage
    self.offset = offset
    precondition(offset + count <= storage.count)
  }

  /// A tensor whose numbers `fill` writes; it gets all of them, uninitialised.
  public init(_ shape: [Int], fill: (UnsafeMutableBufferPointer<Float>) -> Void) {
    let count = shape.reduce(1, *)
    let buffer = Buffer(uninitialized: count)
    fill(UnsafeMutableBufferPointer(start: buffer.base, count: count))
    self.init(shape: shape, storage: Storage(buffer), offset: 0)
  }

  /// A tensor of one number throughout.
  public init(_ shape: [Int], repeating value: Float = 0) {
    self.init(shape) { $0.initialize(repeating: value) }
  }

  /// A tensor of the given numbers, which are as many as the shape holds.
  public init(_ shape: [Int], _ values: [Float]) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values do not fill \(shape)")
    self.init(shape) { _ = $0.initialize(from: values) }
  }

  /// A tensor over memory that `owner` keeps alive and unchanged, such as a mapped file.
  public init(_ shape: [Int], borrowing pointer: UnsafePointer<Float>, owner: any AnyObject & Sendable) {
    let count = shape.reduce(1, *)
    self.init(shape: shape, storage: Storage(borrowing: pointer, count: count, owner: owner), offset: 0)
  }

  /// Says that the numbers will hardly be read again: those of a mapped file then take no memory until they are.
  public func letGo() {
    storage.refillable?.letGo(UnsafeRawBufferPointer(start: storage.base + offset, count: 4 * count))
  }

  /// The numbers, copied out in row-major order.
  public var values: [Float] { withUnsafe { Array($0) } }

  /// Reads the numbers in place.
  public func withUnsafe<R, E: Error>(_ body: (UnsafeBufferPointer<Float>) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(storage) {} }
    return try body(UnsafeBufferPointer(start: storage.base + offset, count: count))
  }

  /// Writes the numbers in place, after a copy if the memory is shared or borrowed.
  public mutating func withUnsafeMutable<R>(_ body: (UnsafeMutableBufferPointer<Float>) -> R) -> R {
    if storage.isBorrowed || !isKnownUniquelyReferenced(&storage) {
      let copy = Buffer(uninitialized: count)
      copy.base.update(from: storage.base + offset, count: count)
      storage = Storage(copy)
      offset = 0
    }
    defer { withExtendedLifetime(storage) {} }
    return body(UnsafeMutableBufferPointer(start: storage.base + offset, count: count))
  }

  /// One number, by its index on every axis.
  public subscript(index: Int...) -> Float {
    precondition(index.count == shape.count)
    var position = 0
    for (i, length) in zip(index, shape) {
      precondition(i >= 0 && i < length, "index \(index) is outside \(shape)")
      position = position * length + i
    }
    return withUnsafe { $0[position] }
  }
}
