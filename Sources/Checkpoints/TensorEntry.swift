/// A named tensor as it lies in a file: where, of what type, shape and strides. Nothing is read until `tensor()`.
public struct TensorEntry: Sendable, Equatable {
  public let type: ElementType
  public let shape: [Int]
  /// The distance between neighbours on each axis, in numbers; nil where the tensor is dense and row-major.
  let strides: [Int]?
  /// Of its first number, in bytes from the start of the file.
  let offset: Int

  init(type: ElementType, shape: [Int], strides: [Int]? = nil, offset: Int) {
    (self.type, self.shape, self.offset) = (type, shape, offset)
    self.strides = strides == TensorEntry.denseStrides(shape) ? nil : strides
  }

  /// How many numbers.
  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { type.byteCount(of: count) }

  /// The most axes that a tensor may have.
  static let axisLimit = 16
  /// The most tensors that one file may have.
  static let tensorLimit = 1 << 17

  /// How many numbers a shape from outside holds, or nil where a length is negative or the lengths that are not 0 multiply
  /// to 2⁴⁸ or more: what is computed from a shape that passes does not overflow.
  static func count(of shape: [Int]) -> Int? {
    var product = 1
    for length in shape where length != 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: length)
      guard length > 0, !overflow, next < 1 << 48 else { return nil }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  static func denseStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1) }
    return strides
  }
}
