import CKernels

/// What is added to attention scores before the softmax.
public enum AttentionBias {
  case none
  /// One table for every batch entry: `[heads, N, M]`, added to the scaled scores.
  case table(Tensor)
  /// Terms of each query for the rows and the columns of the grid that the keys are.
  case relative(RelativePositions)
  /// Query `i` sees keys `0...offset + i`.
  case causal(offset: Int)
}

/// Decomposed relative positions (Li et al., "MViTv2", 2022): keys are the cells of a square grid, and a query at (y, x) adds to its score
/// of the key at (y′, x′) its products with two vectors, one for y − y′ and one for x − x′.
public struct RelativePositions: Sendable {
  /// `[d, 2s − 1]`, last position first: a query's terms for keys 0..<s are then consecutive.
  let rows: PackedMatrix
  let columns: PackedMatrix
  /// s, of the grid.
  public let side: Int
  /// How many queries stand in a row: at most s, where a window is cut.
  private(set) var width: Int
  /// The attention's.
  let precision: Precision

  /// - Parameters:
  ///   - rows, columns: `[2s − 1, d]`, what queries are multiplied with before any scale.
  ///   - scale: of the attention; that of queries is taken out again.
  public init(rows: Tensor, columns: Tensor, scale: Float, precision: Precision) {
    precondition(rows.shape == columns.shape && rows.shape[0] % 2 == 1)
    func packed(_ positions: Tensor) -> PackedMatrix {
      var reversed = Tensor.concatenated((0..<positions.shape[0]).reversed().map { positions.rows($0..<$0 + 1) })
      reversed.scale(by: 1 / scale)
      return PackedMatrix(transposing: reversed, precision)
    }
    (self.rows, self.columns, self.precision) = (packed(rows), packed(columns), precision)
    side = (rows.shape[0] + 1) / 2
    width = side
    precondition(self.rows.stretch == self.rows.inner, "queries of \(self.rows.inner) numbers")
  }

  /// The same for queries of which so many stand in a row.
  public func cut(to width: Int) -> RelativePositions {
    var copy = self
    copy.width = width
    return copy
  }
}

extension Tensor {
  /// Multi-head attention, `softmax(scale · q kᵀ + bias) v`, by blocks: scores of some queries and keys are made, weighed and
  /// used up in the caches (Dao et al., 2022), so N × M of them are never held.
  ///
  /// - Parameters:
  ///   - queries: `[B, N, heads·d]`; head h is the columns `h·d..<(h+1)·d`.
  ///   - keys: `[B, M, keyHeads·d]`, or `[1, M, …]` shared by the batch. `keyHeads` divides `heads` (grouped queries).
  ///   - values: `[B or 1, M, keyHeads·e]`.
  ///   - heads: of the queries. `keyHeads`: of keys and values, as many unless given.
  ///   - precision: of both products; the softmax is float32.
  /// - Returns: `[B, N, heads·e]`.
  public static func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyHeads: Int? = nil, scale: Float,
    bias: AttentionBias = .none, precision: Precision = .fp32
  ) -> Tensor {
    let keyHeads = keyHeads ?? heads
    let (batch, n, queryWidth) = (queries.shape[0], queries.shape[1], queries.shape[2])
    let (m, keyWidth, valueWidth) = (keys.shape[1], keys.shape[2], values.shape[2])
    let (d, e) = (queryWidth / heads, valueWidth / keyHeads)
    precondition(d * heads == queryWidth && d * keyHeads == keyWidth && e * keyHeads == valueWidth)
    precondition(values.shape[1] == m && heads % keyHeads == 0)
    precondition((keys.shape[0] == batch || keys.shape[0] == 1) && values.shape[0] == keys.shape[0])
    switch bias {
    case .table(let table): precondition(table.shape == [heads, n, m])
    case .relative(let positions):
      precondition(
        positions.side * positions.side == m && positions.rows.inner == d && positions.precision == precision)
    case .none, .causal: break
    }
    let span = Profile.begin(.attention(queries, keys, values, heads: heads, keyHeads: keyHeads, precision))
    defer { Profile.end(span) }
    return queries.withUnsafe { q in
      keys.withUnsafe { k in
        values.withUnsafe { v in
          Tensor([batch, n, heads * e]) { out in
            guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress, let out = out.baseAddress else {
              return
            }
            BlockedAttention(
              batch: batch, keyBatch: keys.shape[0], n: n, m: m, d: d, e: e, heads: heads, keyHeads: keyHeads,
              scale: scale, bias: bias, q: q, k: k, v: v, out: out, tiles: precision.tiles
            ).run()
          }
        }
      }
    }
  }
}

/// One attention. Keys are packed as panels of `kᵀ`, values as panels of columns, once for all queries; queries go in strips.
private struct BlockedAttention {
  let batch: Int
  /// Of keys and values: `batch`, or 1 where all share them.
  let keyBatch: Int
  /// Queries and keys.
  let n: Int
  let m: Int
  /// A head's width in queries and keys, and in values.
  let d: Int
  let e: Int
  let heads: Int
  let keyHeads: Int
  let scale: Float
  let bias: AttentionBias
  let q: UnsafePointer<Float>
  let k: UnsafePointer<Float>
  let v: UnsafePointer<Float>
  let out: UnsafeMutablePointer<Float>

  let tiles: ck_tiles

  private var height: Int { Int(tiles.rows) }
  private var width: Int { Int(tiles.columns) }
  /// 14 queries by 512 keys of scores are 28 KiB.
  private static let keysPerBlock = 512

  /// From a query's relative terms to the next one's.
  private var termStride: Int {
    if case .relative(let positions) = bias { panels(positions.rows.columns) * width } else { 0 }
  }

  private func panels(_ columns: Int) -> Int { (columns + width - 1) / width }
  /// What lies packed for one head: a panel for each `width` keys; for each block of keys, panels for a head's width.
  private var keyBytes: Int { panels(m) * Int(tiles.panel_bytes(d)) }
  private var valueBlockBytes: Int { panels(e) * Int(tiles.panel_bytes(min(Self.keysPerBlock, m))) }
  private var valueBytes: Int { (m + Self.keysPerBlock - 1) / Self.keysPerBlock * valueBlockBytes }

  func run() {
    let packedKeys = Buffer(bytes: keyBatch * keyHeads * keyBytes)
    let packedValues = Buffer(bytes: keyBatch * keyHeads * valueBytes)
    ComputePool.forEach(keyBatch * keyHeads, grain: max(1, (1 << 15) / (m * (d + e)))) { part in
      for job in part { pack(job, packedKeys.bytes + job * keyBytes, packedValues.bytes + job * valueBytes) }
    }
    let strips = (n + height - 1) / height
    ComputePool.forEach(batch * heads * strips, grain: max(1, (1 << 15) / (height * m))) { part in
      let scratch = Scratch(tiles, keys: min(Self.keysPerBlock, m), d: d, e: e, terms: termStride)
      for job in part {
        let (entry, first) = (job / strips, job % strips * height)
        let (b, head) = (entry / heads, entry % heads)
        let key = (keyBatch == 1 ? 0 : b) * keyHeads + head / (heads / keyHeads)
        attend(
          b, head, first..<min(n, first + height), UnsafeRawPointer(packedKeys.bytes + key * keyBytes),
          UnsafeRawPointer(packedValues.bytes + key * valueBytes), scratch)
      }
    }
  }

  private func pack(_ job: Int, _ keys: UnsafeMutableRawPointer, _ values: UnsafeMutableRawPointer) {
    let (b, head) = (job / keyHeads, job % keyHeads)
    for panel in 0..<panels(m) {
      let first = panel * width
      tiles.pack_panel_rows(
        k + (b * m + first) * keyHeads * d + head * d, keyHeads * d, min(width, m - first), d,
        keys + panel * Int(tiles.panel_bytes(d)))
    }
    for (block, first) in stride(from: 0, to: m, by: Self.keysPerBlock).enumerated() {
      let count = min(Self.keysPerBlock, m - first)
      for panel in 0..<panels(e) {
        let column = panel * width
        tiles.pack_panel_columns(
          v + (b * m + first) * keyHeads * e + head * e + column, keyHeads * e, min(width, e - column), count,
          values + block * valueBlockBytes + panel * Int(tiles.panel_bytes(count)))
      }
    }
  }

  /// The memory of a thread: of a strip of queries.
  private struct Scratch: ~Copyable {
    /// `[rows, d]`, scaled, and packed.
    let scaled: Buffer
    let queries: Buffer
    /// `[rows, keys]`, and packed.
    let scores: Buffer
    let weights: Buffer
    /// `[rows, e]`
    let sums: Buffer
    /// Of each row: the greatest score, the sum, and by what earlier sums shrink.
    let tops: Buffer
    let totals: Buffer
    let shrink: Buffer
    /// Relative terms `[rows, 2s − 1]`, for rows and for columns.
    let rowTerms: Buffer
    let columnTerms: Buffer
    let stride: Int
    let e: Int

    init(_ tiles: ck_tiles, keys: Int, d: Int, e: Int, terms: Int) {
      let (height, width) = (Int(tiles.rows), Int(tiles.columns))
      stride = (keys + width - 1) / width * width
      self.e = (e + width - 1) / width * width
      scaled = Buffer(uninitialized: height * d)
      queries = Buffer(bytes: Int(tiles.strip_bytes(height, d)))
      scores = Buffer(uninitialized: height * stride)
      weights = Buffer(bytes: Int(tiles.strip_bytes(height, keys)))
      sums = Buffer(uninitialized: height * self.e)
      tops = Buffer(uninitialized: height)
      totals = Buffer(uninitialized: height)
      shrink = Buffer(uninitialized: height)
      rowTerms = Buffer(uninitialized: height * terms)
      columnTerms = Buffer(uninitialized: height * terms)
    }
  }

  /// A strip of queries from first key to last; what it holds of scores stays in the first cache.
  private func attend(
    _ b: Int, _ head: Int, _ queries: Range<Int>, _ keys: UnsafeRawPointer, _ values: UnsafeRawPointer,
    _ scratch: borrowing Scratch
  ) {
    let (count, padded) = (queries.count, tiles.strip_rows(queries.count))
    let from = q + (b * n + queries.lowerBound) * heads * d + head * d
    for row in 0..<count { (scratch.scaled.base + row * d).update(from: from + row * heads * d, count: d) }
    kernels.scale(scratch.scaled.base, scale, count * d)
    tiles.pack_strip(scratch.scaled.base, d, count, padded, d, scratch.queries.bytes)
    if case .relative(let positions) = bias {
      for (matrix, terms) in [(positions.rows, scratch.rowTerms.base), (positions.columns, scratch.columnTerms.base)] {
        for panel in 0..<panels(matrix.columns) {
          tiles.multiply(
            padded, scratch.queries.bytes, matrix.panel(panel, from: 0), d, terms + panel * width, termStride, 0)
        }
      }
    }
    scratch.tops.base.update(repeating: -.infinity, count: count)
    scratch.totals.base.update(repeating: 0, count: count)

    for (block, firstKey) in stride(from: 0, to: m, by: Self.keysPerBlock).enumerated() {
      let keyRange = firstKey..<min(m, firstKey + Self.keysPerBlock)
      for panel in stride(from: 0, to: keyRange.count, by: width) {
        tiles.multiply(
          padded, scratch.queries.bytes, keys + (firstKey + panel) / width * Int(tiles.panel_bytes(d)), d,
          scratch.scores.base + panel, scratch.stride, 0)
      }
      addBias(head, queries, keyRange, scratch)
      kernels.softmax_step(
        scratch.scores.base, count, keyRange.count, scratch.stride, scratch.tops.base, scratch.totals.base,
        scratch.shrink.base)
      if block > 0 {
        for row in 0..<count { kernels.scale(scratch.sums.base + row * scratch.e, scratch.shrink.base[row], scratch.e) }
      }
      tiles.pack_strip(
        scratch.scores.base, scratch.stride, count, padded, keyRange.count, scratch.weights.bytes)
      for panel in 0..<scratch.e / width {
        tiles.multiply(
          padded, scratch.weights.bytes,
          values + block * valueBlockBytes + panel * Int(tiles.panel_bytes(keyRange.count)), keyRange.count,
          scratch.sums.base + panel * width, scratch.e, block > 0 ? 1 : 0)
      }
    }
    for row in 0..<count {
      let target = out + (b * n + queries.lowerBound + row) * heads * e + head * e
      target.update(from: scratch.sums.base + row * scratch.e, count: e)
      kernels.scale(target, 1 / scratch.totals.base[row], e)
    }
  }

  /// Adds to the scores of some queries and keys what `bias` says.
  private func addBias(_ head: Int, _ queries: Range<Int>, _ keys: Range<Int>, _ scratch: borrowing Scratch) {
    let scores = scratch.scores.base
    switch bias {
    case .none: break
    case .table(let table):
      table.withUnsafe { rows in
        guard let base = rows.baseAddress else { return }
        for (row, query) in queries.enumerated() {
          kernels.add(scores + row * scratch.stride, base + (head * n + query) * m + keys.lowerBound, keys.count)
        }
      }
    case .relative(let positions):
      for (row, query) in queries.enumerated() {
        let first = row * termStride + positions.side - 1
        kernels.add_grid(
          scores + row * scratch.stride, scratch.rowTerms.base + first - query / positions.width,
          scratch.columnTerms.base + first - query % positions.width, positions.side, keys.lowerBound, keys.count)
      }
    case .causal(let offset):
      for (row, query) in queries.enumerated() {
        let visible = min(max(offset + query + 1 - keys.lowerBound, 0), keys.count)
        (scores + row * scratch.stride + visible).update(repeating: -.infinity, count: keys.count - visible)
      }
    }
  }
}
