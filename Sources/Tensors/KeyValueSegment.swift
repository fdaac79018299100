/// Keys and values of consecutive positions as attention reads them: a prefix that many sequences share, or what one
/// sequence has of its own.
public struct KeyValueSegment: Sendable {
  enum Storage: Sendable {
    /// `[capacity, keyHeads·d]`
    case dense(keys: Tensor, values: Tensor)
    case packed(keys: PackedRows, values: PackedRows)
  }

  let storage: Storage
  /// How many positions are in use, from the first.
  public let count: Int

  /// - Parameter keys: `[capacity, keyHeads·d]`, as are `values`; the first `count` rows are in use.
  public init(keys: Tensor, values: Tensor, count: Int) {
    precondition(keys.shape == values.shape && count >= 0 && count <= keys.shape[0])
    (storage, self.count) = (.dense(keys: keys, values: values), count)
  }

  public init(keys: PackedRows, values: PackedRows, count: Int) {
    precondition(keys.count == values.count && keys.width == values.width && count >= 0 && count <= keys.count)
    (storage, self.count) = (.packed(keys: keys, values: values), count)
  }

  /// Whether both are the same positions in the same memory.
  public func isSame(as other: KeyValueSegment) -> Bool {
    guard count == other.count else { return false }
    return switch (storage, other.storage) {
    case (.dense(let mine, _), .dense(let theirs, _)):
      mine.storage === theirs.storage && mine.offset == theirs.offset
    case (.packed(let mine, _), .packed(let theirs, _)): mine.isSame(as: theirs)
    default: false
    }
  }

  /// The numbers of float32 that a head's keys, or values, need beside the segment to be read.
  var scratchCount: Int {
    switch storage {
    case .dense: 0
    case .packed(let keys, _): keys.wideCount(count)
    }
  }

  /// Calls `body` with a head's keys or values in float32: the first row, and the distance from row to row.
  func withRows(
    _ part: Part, head: Int, width: Int, scratch: UnsafeMutablePointer<Float>,
    _ body: (UnsafePointer<Float>, Int) -> Void
  ) {
    switch storage {
    case .dense(let keys, let values):
      let rows = part == .keys ? keys : values
      rows.withUnsafe { all in
        guard let base = all.baseAddress else { return }
        body(base + head * width, rows.shape[1])
      }
    case .packed(let keys, let values):
      (part == .keys ? keys : values).widen(head: head, rows: count, to: scratch)
      body(scratch, width)
    }
  }

  enum Part { case keys, values }
}

/// A sequence whose newest positions attend to everything before them.
public struct AttendingSequence: Sendable {
  /// How many of its positions are new: its rows of the queries.
  public let rows: Int
  /// What it shares with others, before its own.
  public let prefix: KeyValueSegment?
  /// Its own positions, the new ones last.
  public let own: KeyValueSegment

  public init(rows: Int, prefix: KeyValueSegment?, own: KeyValueSegment) {
    precondition(rows > 0 && rows <= own.count)
    (self.rows, self.prefix, self.own) = (rows, prefix?.count == 0 ? nil : prefix, own)
  }
}
