import CKernels

/// What is added to attention scores before the softmax.
public enum AttentionBias {
  case none
  /// One table for every batch entry: `[heads, N, M]`, added to the scaled scores.
  case table(Tensor)
  /// Written by the caller, for scores that are never held as a whole: called with a block of the scaled scores to add to.
  case blocks((AttentionScores) -> Void)
  /// Query `i` sees keys `0...offset + i`.
  case causal(offset: Int)
}

/// A block of one head's scores, `[queries, keys]`, rows `stride` apart.
public struct AttentionScores {
  public let batch: Int
  public let head: Int
  public let queries: Range<Int>
  public let keys: Range<Int>
  public let stride: Int
  let base: UnsafeMutablePointer<Float>

  /// Adds `byRow[y] + byColumn[x]` to a query's score of each key, keys being the cells y·side + x of a grid.
  public func addGrid(
    _ query: Int, byRow: UnsafePointer<Float>, byColumn: UnsafePointer<Float>, side: Int
  ) {
    kernels.add_grid(row(query).baseAddress, byRow, byColumn, side, keys.lowerBound, keys.count)
  }

  /// The scores of a query of the block, one for each of its keys.
  public func row(_ query: Int) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: base + (query - queries.lowerBound) * stride, count: keys.count)
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
    if case .table(let table) = bias { precondition(table.shape == [heads, n, m]) }
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
      let scratch = Scratch(tiles, keys: min(Self.keysPerBlock, m), d: d, e: e)
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
    let stride: Int
    let e: Int

    init(_ tiles: ck_tiles, keys: Int, d: Int, e: Int) {
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
    scratch.tops.base.update(repeating: -.infinity, count: count)
    scratch.totals.base.update(repeating: 0, count: count)

    for (block, firstKey) in stride(from: 0, to: m, by: Self.keysPerBlock).enumerated() {
      let keyRange = firstKey..<min(m, firstKey + Self.keysPerBlock)
      for panel in stride(from: 0, to: keyRange.count, by: width) {
        tiles.multiply(
          padded, scratch.queries.bytes, keys + (firstKey + panel) / width * Int(tiles.panel_bytes(d)), d,
          scratch.scores.base + panel, scratch.stride, 0)
      }
      add(
        bias,
        to: AttentionScores(
          batch: b, head: head, queries: queries, keys: keyRange, stride: scratch.stride, base: scratch.scores.base))
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

  private func add(_ bias: AttentionBias, to scores: AttentionScores) {
    switch bias {
    case .none: break
    case .table(let table):
      table.withUnsafe { rows in
        guard let base = rows.baseAddress else { return }
        for query in scores.queries {
          kernels.add(
            scores.row(query).baseAddress, base + (scores.head * n + query) * m + scores.keys.lowerBound,
            scores.keys.count)
        }
      }
    case .blocks(let write): write(scores)
    case .causal(let offset):
      for query in scores.queries {
        let visible = min(max(offset + query + 1 - scores.keys.lowerBound, 0), scores.keys.count)
        scores.row(query)[visible...].update(repeating: -.infinity)
      }
    }
  }
}
