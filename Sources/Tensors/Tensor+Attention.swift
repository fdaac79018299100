import CKernels

/// What is added to attention scores before the softmax.
public enum AttentionBias {
  case none
  /// One table for every batch entry, keys in rows: `[heads, M, N]`, added to the scaled scores.
  case table(Tensor)
  /// Terms of each query for the rows and the columns of the grid that the keys are.
  case relative(RelativePositions)
  /// Query `i` sees keys `0...offset + i`.
  case causal(offset: Int)
}

/// Decomposed relative positions (Li et al., "MViTv2", 2022): keys are the cells of a square grid, and a query at (y, x) adds to its score
/// of the key at (y′, x′) its products with two vectors, one for y − y′ and one for x − x′.
public struct RelativePositions: Sendable {
  /// `[2s − 1, d]`, last position first: a query's terms for keys 0..<s are then consecutive.
  let rows: Strips
  let columns: Strips
  /// d
  let width: Int
  /// s, of the grid.
  public let side: Int
  /// How many queries stand in a row: at most s, where a window is cut.
  private(set) var queriesPerRow: Int
  /// The attention's.
  let precision: Precision

  /// - Parameters:
  ///   - rows, columns: `[2s − 1, d]`, what queries are multiplied with before any scale.
  ///   - scale: of the attention; that of queries is taken out again.
  public init(rows: Tensor, columns: Tensor, scale: Float, precision: Precision) {
    precondition(rows.shape == columns.shape && rows.shape[0] % 2 == 1)
    func packed(_ positions: Tensor) -> Strips {
      var reversed = Tensor.concatenated((0..<positions.shape[0]).reversed().map { positions.rows($0..<$0 + 1) })
      reversed.scale(by: 1 / scale)
      return Strips(reversed, precision)
    }
    (self.rows, self.columns, self.precision) = (packed(rows), packed(columns), precision)
    (side, width) = ((rows.shape[0] + 1) / 2, rows.shape[1])
    queriesPerRow = side
  }

  /// The same for queries of which so many stand in a row.
  public func cut(to width: Int) -> RelativePositions {
    var copy = self
    copy.queriesPerRow = width
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
  ///   - precision: of the product with values and, unless given for itself, of that with keys; the softmax is float32.
  ///   - scorePrecision: of the product with keys. In int8 the mean of all keys is taken from each before it is rounded: that changes
  ///     a query's scores by the same number, which a softmax does not see, and leaves less to round (Zhang et al., "SageAttention", 2024).
  /// - Returns: `[B, N, heads·e]`.
  public static func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyHeads: Int? = nil, scale: Float,
    bias: AttentionBias = .none, precision: Precision = .fp32, scorePrecision: Precision? = nil
  ) -> Tensor {
    let (keyHeads, scorePrecision) = (keyHeads ?? heads, scorePrecision ?? precision)
    let (batch, n, queryWidth) = (queries.shape[0], queries.shape[1], queries.shape[2])
    let (m, keyWidth, valueWidth) = (keys.shape[1], keys.shape[2], values.shape[2])
    let (d, e) = (queryWidth / heads, valueWidth / keyHeads)
    precondition(d * heads == queryWidth && d * keyHeads == keyWidth && e * keyHeads == valueWidth)
    precondition(values.shape[1] == m && heads % keyHeads == 0)
    precondition((keys.shape[0] == batch || keys.shape[0] == 1) && values.shape[0] == keys.shape[0])
    switch bias {
    case .table(let table): precondition(table.shape == [heads, m, n])
    case .relative(let positions):
      precondition(
        positions.side * positions.side == m && positions.width == d && positions.precision == precision)
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
              scale: scale, bias: bias, q: q, k: k, v: v, out: out, precision: precision, scorePrecision: scorePrecision
            ).run()
          }
        }
      }
    }
  }
}

/// One attention, turned: scores are `k qᵀ`, a column for each query. What a softmax does then goes down columns, lane by lane, and
/// in float32 its weights are the panel that `vᵀ` is multiplied with as they stand.
///
/// Keys and `vᵀ` are packed in strips, once for all queries; a panel of queries goes along all of them.
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
  let precision: Precision
  let scorePrecision: Precision

  private var tiles: ck_tiles { precision.tiles }
  /// Of the product with keys. A score's place in a tile is that of its weight.
  private var scoreTiles: ck_tiles {
    let own = scorePrecision.tiles
    return own.rows == tiles.rows && own.columns == tiles.columns ? own : tiles
  }
  private var height: Int { Int(tiles.rows) }
  private var width: Int { Int(tiles.columns) }
  /// Whole strips of keys, whose scores for a panel of queries stay in the first cache: 196 by 32 are 25 KiB.
  private var keysPerBlock: Int { max(1, 196 / height) * height }

  private func strips(_ rows: Int) -> Int { (rows + height - 1) / height }
  /// What lies packed for one key head: a strip for each `height` keys; for each block of keys, strips of `vᵀ`.
  private var keyStripBytes: Int { Int(scoreTiles.strip_bytes(height, d)) }
  private var valueStripBytes: Int { Int(tiles.strip_bytes(height, min(m, keysPerBlock))) }
  private var keyBytes: Int { strips(m) * keyStripBytes }
  private var valueBytes: Int { (m + keysPerBlock - 1) / keysPerBlock * strips(e) * valueStripBytes }

  func run() {
    let (tiles, height) = (tiles, height)
    let packedKeys = Buffer(bytes: keyBatch * keyHeads * keyBytes)
    let packedValues = Buffer(bytes: keyBatch * keyHeads * valueBytes)
    ComputePool.forEach(keyBatch * keyHeads, grain: max(1, (1 << 15) / (m * (d + e)))) { part in
      for job in part { pack(job, packedKeys.bytes + job * keyBytes, packedValues.bytes + job * valueBytes) }
    }
    let panels = (n + width - 1) / width
    ComputePool.forEach(batch * heads * panels, grain: max(1, (1 << 15) / (width * m))) { part in
      let scratch = Scratch(
        tiles, scoreTiles, keys: strips(min(m, keysPerBlock)) * height, d: d, e: strips(e) * height,
        positions: positions)
      for job in part {
        let (entry, first) = (job / panels, job % panels * width)
        let (b, head) = (entry / heads, entry % heads)
        let key = (keyBatch == 1 ? 0 : b) * keyHeads + head / (heads / keyHeads)
        attend(
          b, head, first..<min(n, first + width), UnsafeRawPointer(packedKeys.bytes + key * keyBytes),
          UnsafeRawPointer(packedValues.bytes + key * valueBytes), tiles, scratch)
      }
    }
  }

  private var positions: RelativePositions? {
    if case .relative(let positions) = bias { positions } else { nil }
  }

  private func pack(_ job: Int, _ keys: UnsafeMutableRawPointer, _ values: UnsafeMutableRawPointer) {
    let (b, head) = (job / keyHeads, job % keyHeads)
    let (tiles, height) = (tiles, height)
    packKeys(k + b * m * keyHeads * d + head * d, keys)
    for (block, first) in stride(from: 0, to: m, by: keysPerBlock).enumerated() {
      for strip in 0..<strips(e) {
        let column = strip * height
        let count = min(height, e - column)
        tiles.pack_strip_columns(
          v + (b * m + first) * keyHeads * e + head * e + column, keyHeads * e, count, tiles.strip_rows(count),
          min(keysPerBlock, m - first), values + (block * strips(e) + strip) * valueStripBytes)
      }
    }
  }

  /// - Parameter from: `[m, d]`, rows `keyHeads·d` apart.
  private func packKeys(_ from: UnsafePointer<Float>, _ keys: UnsafeMutableRawPointer) {
    let (tiles, height, stride, isCentred) = (scoreTiles, height, keyHeads * d, scorePrecision == .int8)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: (height + 1) * d) { memory in
      guard let mean = memory.baseAddress else { return }
      let centred = mean + d
      mean.initialize(repeating: 0, count: (height + 1) * d)
      if isCentred {
        for key in 0..<m { kernels.add(mean, from + key * stride, d) }
        kernels.scale(mean, -1 / Float(m), d)
      }
      for strip in 0..<strips(m) {
        let (first, count) = (from + strip * height * stride, min(height, m - strip * height))
        if isCentred {
          for key in 0..<count { (centred + key * d).update(from: first + key * stride, count: d) }
          kernels.add_row(centred, mean, count, d)
        }
        tiles.pack_strip(
          isCentred ? UnsafePointer(centred) : first, isCentred ? d : stride, count, tiles.strip_rows(count), d,
          keys + strip * keyStripBytes)
      }
    }
  }

  /// The memory of a thread: of a panel of queries. Columns are queries.
  private struct Scratch: ~Copyable {
    /// `[width, d]`, scaled, and packed: for keys, and for positions.
    let scaled: Buffer
    let queries: Buffer
    let placed: Buffer
    /// `[keys, width]`, and packed.
    let scores: Buffer
    let weights: Buffer
    /// `[e, width]`, and transposed.
    let sums: Buffer
    let turned: Buffer
    /// Of each column: the greatest score, the sum, and by what earlier sums shrink.
    let tops: Buffer
    let totals: Buffer
    let shrink: Buffer
    /// What positions give: `[2s − 1, width]`; and for each row and each column of the grid, `[s, width]`.
    let terms: Buffer
    let rowTerms: Buffer
    let columnTerms: Buffer

    /// - Parameters:
    ///   - keys, e: in whole strips.
    init(_ tiles: ck_tiles, _ scoreTiles: ck_tiles, keys: Int, d: Int, e: Int, positions: RelativePositions?) {
      let (height, width, side) = (Int(tiles.rows), Int(tiles.columns), positions?.side ?? 0)
      scaled = Buffer(uninitialized: width * d)
      queries = Buffer(bytes: Int(scoreTiles.panel_bytes(d)))
      placed = Buffer(bytes: positions == nil ? 0 : Int(tiles.panel_bytes(d)))
      scores = Buffer(uninitialized: keys * width)
      weights = Buffer(bytes: Int(tiles.panel_bytes(keys)))
      sums = Buffer(uninitialized: e * width)
      turned = Buffer(uninitialized: width * Panels.width)
      tops = Buffer(uninitialized: width)
      totals = Buffer(uninitialized: width)
      shrink = Buffer(uninitialized: width)
      terms = Buffer(uninitialized: (2 * side + height) * width)
      rowTerms = Buffer(uninitialized: side * width)
      columnTerms = Buffer(uninitialized: side * width)
    }
  }

  /// A panel of queries from first key to last; what it holds of scores stays in the first cache.
  private func attend(
    _ b: Int, _ head: Int, _ queries: Range<Int>, _ keys: UnsafeRawPointer, _ values: UnsafeRawPointer,
    _ tiles: ck_tiles, _ scratch: borrowing Scratch
  ) {
    let (height, width, keysPerBlock, valueStrips) = (height, width, keysPerBlock, strips(e))
    let (keyStripBytes, valueStripBytes) = (keyStripBytes, valueStripBytes)
    let (scores, sums, isPacked) = (scratch.scores.base, scratch.sums.base, precision == .fp32)
    let from = q + (b * n + queries.lowerBound) * heads * d + head * d
    for row in 0..<queries.count { (scratch.scaled.base + row * d).update(from: from + row * heads * d, count: d) }
    kernels.scale(scratch.scaled.base, scale, queries.count * d)
    let scoreTiles = scoreTiles
    scoreTiles.pack_panel_rows(scratch.scaled.base, d, queries.count, d, scratch.queries.bytes)
    if let positions {
      tiles.pack_panel_rows(scratch.scaled.base, d, queries.count, d, scratch.placed.bytes)
      place(positions, queries, scratch)
    }
    scratch.tops.base.update(repeating: -.infinity, count: width)
    scratch.totals.base.update(repeating: 0, count: width)

    for (block, firstKey) in stride(from: 0, to: visible(to: queries), by: keysPerBlock).enumerated() {
      let count = min(keysPerBlock, m - firstKey)
      for first in stride(from: 0, to: count, by: height) {
        scoreTiles.multiply(
          scoreTiles.strip_rows(min(height, count - first)), keys + (firstKey + first) / height * keyStripBytes,
          scratch.queries.bytes, d, scores + first * width, width, 0)
      }
      addBias(head, queries, firstKey..<firstKey + count, scratch)
      kernels.softmax_step_columns(
        scores, count, width, scratch.tops.base, scratch.totals.base, scratch.shrink.base)
      if block > 0 { kernels.scale_columns(sums, e, width, width, scratch.shrink.base) }
      if !isPacked { tiles.pack_panel_columns(scores, width, width, count, scratch.weights.bytes) }
      let weights = isPacked ? scratch.scores.bytes : scratch.weights.bytes
      for strip in 0..<valueStrips {
        tiles.multiply(
          tiles.strip_rows(min(height, e - strip * height)),
          values + (block * valueStrips + strip) * valueStripBytes, weights, count, sums + strip * height * width,
          width, block > 0 ? 1 : 0)
      }
    }
    for query in 0..<width { scratch.totals.base[query] = 1 / scratch.totals.base[query] }
    kernels.scale_columns(sums, e, width, width, scratch.totals.base)
    let target = out + (b * n + queries.lowerBound) * heads * e + head * e
    for column in stride(from: 0, to: e, by: Panels.width) {
      let count = min(Panels.width, e - column)
      Precision.fp32.tiles.pack_panel_rows(sums + column * width, width, count, width, scratch.turned.bytes)
      for query in 0..<queries.count {
        (target + query * heads * e + column).update(from: scratch.turned.base + query * Panels.width, count: count)
      }
    }
  }

  /// How many keys some queries see, of which the last one sees most.
  private func visible(to queries: Range<Int>) -> Int {
    if case .causal(let offset) = bias { min(m, max(1, offset + queries.upperBound)) } else { m }
  }

  /// Works out what some queries add to their scores of each row and each column of the grid.
  private func place(_ positions: RelativePositions, _ queries: Range<Int>, _ scratch: borrowing Scratch) {
    let (width, side, terms) = (width, positions.side, scratch.terms.base)
    for (strips, placed, isRow) in [
      (positions.rows, scratch.rowTerms.base, true), (positions.columns, scratch.columnTerms.base, false),
    ] {
      strips.multiply(scratch.placed.base, into: terms, stride: width, adds: false)
      for (column, query) in queries.enumerated() {
        let (y, x) = query.quotientAndRemainder(dividingBy: positions.queriesPerRow)
        let own = terms + (side - 1 - (isRow ? y : x)) * width + column
        for i in 0..<side { placed[i * width + column] = own[i * width] }
      }
      for column in queries.count..<width { for i in 0..<side { placed[i * width + column] = 0 } }
    }
  }

  /// Adds to the scores of some keys and queries what `bias` says.
  private func addBias(_ head: Int, _ queries: Range<Int>, _ keys: Range<Int>, _ scratch: borrowing Scratch) {
    let (scores, width) = (scratch.scores.base, width)
    switch bias {
    case .none: break
    case .table(let table):
      table.withUnsafe { rows in
        guard let base = rows.baseAddress else { return }
        kernels.add_columns(
          scores, keys.count, queries.count, width, base + (head * m + keys.lowerBound) * n + queries.lowerBound, n)
      }
    case .relative(let positions):
      kernels.add_grid_columns(
        scores, width, scratch.rowTerms.base, scratch.columnTerms.base, positions.side, keys.lowerBound, keys.count)
    case .causal(let offset):
      for (row, key) in keys.enumerated() where key > offset + queries.lowerBound {
        let blind = min(width, key - offset - queries.lowerBound)
        (scores + row * width).update(repeating: -.infinity, count: blind)
      }
    }
  }
}
