/// A weight matrix `[rows, columns]` that stays as its file stores it: halves or blocks, in the mapped file itself. It is
/// widened to float32 row by row where it is used, so a model takes no more memory than its file.
public struct WeightMatrix: Sendable {
  public let rows: Int
  public let columns: Int
  public let format: WeightFormat
  private let bytes: StoredBytes

  /// A matrix over memory that `owner` keeps alive and unchanged, at any alignment.
  ///
  /// - Parameter columns: a whole number of the format's blocks.
  public init(
    rows: Int, columns: Int, format: WeightFormat, borrowing base: UnsafeRawPointer, owner: any AnyObject & Sendable
  ) {
    precondition(rows > 0 && columns > 0 && columns % format.blockLength == 0)
    (self.rows, self.columns, self.format) = (rows, columns, format)
    if format == .float32, Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 {
      bytes = .tensor(Tensor([rows, columns], borrowing: base.assumingMemoryBound(to: Float.self), owner: owner))
    } else {
      bytes = .stored(base, owner: owner)
    }
  }

  /// The same numbers as a tensor `[rows, columns]`, whose memory it shares.
  public init(_ tensor: Tensor) {
    precondition(tensor.shape.count == 2 && tensor.count > 0, "a weight matrix of \(tensor.shape)")
    (rows, columns, format) = (tensor.shape[0], tensor.shape[1], .float32)
    bytes = .tensor(tensor)
  }

  /// The memory or the part of a file that it takes, in bytes.
  public var byteCount: Int { rows * rowBytes }

  /// `[rows, columns]` in float32.
  public func dequantized() -> Tensor { dequantized(rows: 0..<rows) }

  /// Some rows in float32, `[n, columns]`, such as tokens' embeddings.
  public func dequantized(rows indices: some RandomAccessCollection<Int>) -> Tensor {
    if let tensor, indices.elementsEqual(0..<rows) { return tensor }
    return withUnsafeBytes { base in
      Tensor([indices.count, columns]) { out in
        guard let out = out.baseAddress else { return }
        let rows = Array(indices)
        ComputePool.forEach(rows.count, grain: max(1, (1 << 16) / columns)) { part in
          for i in part {
            precondition(rows[i] >= 0 && rows[i] < self.rows, "row \(rows[i]) of \(self.rows)")
            format.dequantize(base + rows[i] * rowBytes, to: out + i * columns, count: columns)
          }
        }
      }
    }
  }

  /// The matrix itself, where it needs no widening.
  var tensor: Tensor? {
    if case .tensor(let tensor) = bytes { return tensor }
    return nil
  }

  var rowBytes: Int { format.byteCount(of: columns) }

  func withUnsafeBytes<R>(_ body: (UnsafeRawPointer) -> R) -> R {
    switch bytes {
    case .stored(let base, let owner):
      defer { withExtendedLifetime(owner) {} }
      return body(base)
    case .tensor(let tensor):
      return tensor.withUnsafe { all in
        guard let base = all.baseAddress else { preconditionFailure("a weight matrix without memory") }
        return body(UnsafeRawPointer(base))
      }
    }
  }
}

/// Where a matrix lies. Nobody writes to it.
private enum StoredBytes: @unchecked Sendable {
  case stored(UnsafeRawPointer, owner: any AnyObject & Sendable)
  case tensor(Tensor)
}
