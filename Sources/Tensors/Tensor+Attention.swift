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
  /// - Returns: `[B, N, heads·e]`.
  public static func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyHeads: Int? = nil, scale: Float,
    bias: AttentionBias = .none
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
              scale: scale, bias: bias, q: q, k: k, v: v, out: out
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

  private let height = Int(kernels.tile_rows)
  private let width = Int(kernels.tile_columns)
  /// 56 queries by 512 keys of scores are 115 KB.
  private static let stripsPerJob = 4
  private static let keysPerBlock = 512

  private func panels(_ columns: Int) -> Int { (columns + width - 1) / width }
  private var keyPanels: Int { panels(m) * width * d }
  private var valuePanels: Int { panels(e) * width * m }

  func run() {
    let packedKeys = Buffer(uninitialized: keyBatch * keyHeads * keyPanels)
    let packedValues = Buffer(uninitialized: keyBatch * keyHeads * valuePanels)
    ComputePool.forEach(keyBatch * keyHeads, grain: max(1, (1 << 15) / (m * (d + e)))) { part in
      for job in part { pack(job, packedKeys.base + job * keyPanels, packedValues.base + job * valuePanels) }
    }
    let rowsPerJob = min(Self.stripsPerJob * height, n)
    let rowJobs = (n + rowsPerJob - 1) / rowsPerJob
    ComputePool.forEach(batch * heads * rowJobs, grain: max(1, (1 << 15) / (rowsPerJob * m))) { part in
      let scratch = Scratch(
        rows: (rowsPerJob + height - 1) / height * height, keys: min(Self.keysPerBlock, m), d: d, e: panels(e) * width)
      for job in part {
        let (entry, first) = (job / rowJobs, job % rowJobs * rowsPerJob)
        let (b, head) = (entry / heads, entry % heads)
        let key = (keyBatch == 1 ? 0 : b) * keyHeads + head / (heads / keyHeads)
        attend(
          b, head, first..<min(n, first + rowsPerJob), packedKeys.base + key * keyPanels,
          packedValues.base + key * valuePanels, scratch)
      }
    }
  }

  private func pack(_ job: Int, _ keys: UnsafeMutablePointer<Float>, _ values: UnsafeMutablePointer<Float>) {
    let (b, head) = (job / keyHeads, job % keyHeads)
    for panel in 0..<panels(m) {
      let first = panel * width
      kernels.pack_rows(
        k + (b * m + first) * keyHeads * d + head * d, keyHeads * d, min(width, m - first), width, d,
        keys + first * d)
    }
    for panel in 0..<panels(e) {
      let first = panel * width
      kernels.pack_columns(
        v + b * m * keyHeads * e + head * e + first, keyHeads * e, min(width, e - first), width, m, values + first * m)
    }
  }

  /// The memory of a thread.
  private struct Scratch: ~Copyable {
    /// `[d, rows]` in strips; `[rows, keys]`; the same in strips; `[rows, e]`.
    let queries: Buffer
    let scores: Buffer
    let weights: Buffer
    let sums: Buffer
    /// Of each row: the greatest score, the sum, and by what earlier sums shrink.
    let rows: Buffer
    let stride: Int
    let e: Int

    init(rows count: Int, keys: Int, d: Int, e: Int) {
      let width = Int(kernels.tile_columns)
      stride = (keys + width - 1) / width * width
      queries = Buffer(uninitialized: count * d)
      scores = Buffer(uninitialized: count * stride)
      weights = Buffer(uninitialized: count * keys)
      sums = Buffer(uninitialized: count * e)
      rows = Buffer(uninitialized: 3 * count)
      self.e = e
    }
  }

  private func attend(
    _ b: Int, _ head: Int, _ queries: Range<Int>, _ keys: UnsafePointer<Float>, _ values: UnsafePointer<Float>,
    _ scratch: borrowing Scratch
  ) {
    let count = queries.count
    let strips = stride(from: 0, to: count, by: height).map { ($0, kernels.strip_rows(min(height, count - $0))) }
    for (first, padded) in strips {
      kernels.pack_rows(
        q + (b * n + queries.lowerBound + first) * heads * d + head * d, heads * d, min(height, count - first), padded,
        d, scratch.queries.base + first * d)
    }
    kernels.scale(scratch.queries.base, scale, strips.reduce(0) { $0 + $1.1 } * d)
    let (tops, totals, shrink) = (scratch.rows.base, scratch.rows.base + count, scratch.rows.base + 2 * count)
    tops.update(repeating: -.infinity, count: count)
    totals.update(repeating: 0, count: count)

    for block in stride(from: 0, to: m, by: Self.keysPerBlock) {
      let keyRange = block..<min(m, block + Self.keysPerBlock)
      for panel in stride(from: 0, to: keyRange.count, by: width) {
        for (first, padded) in strips {
          kernels.tile(
            padded, scratch.queries.base + first * d, keys + (block + panel) * d, d,
            scratch.scores.base + first * scratch.stride + panel, scratch.stride, 0)
        }
      }
      add(
        bias,
        to: AttentionScores(
          batch: b, head: head, queries: queries, keys: keyRange, stride: scratch.stride, base: scratch.scores.base))
      kernels.softmax_step(scratch.scores.base, count, keyRange.count, scratch.stride, tops, totals, shrink)
      if block > 0 {
        for row in 0..<count { kernels.scale(scratch.sums.base + row * scratch.e, shrink[row], scratch.e) }
      }
      for (first, padded) in strips {
        kernels.pack_rows(
          scratch.scores.base + first * scratch.stride, scratch.stride, min(height, count - first), padded,
          keyRange.count, scratch.weights.base + first * keyRange.count)
      }
      for panel in stride(from: 0, to: scratch.e, by: width) {
        for (first, padded) in strips {
          kernels.tile(
            padded, scratch.weights.base + first * keyRange.count, values + panel * m + block * width, keyRange.count,
            scratch.sums.base + first * scratch.e + panel, scratch.e, block > 0 ? 1 : 0)
        }
      }
    }
    for row in 0..<count {
      let target = out + (b * n + queries.lowerBound + row) * heads * e + head * e
      target.update(from: scratch.sums.base + row * scratch.e, count: e)
      kernels.scale(target, 1 / totals[row], e)
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
