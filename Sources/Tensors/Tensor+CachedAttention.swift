import CKernels

extension Tensor {
  /// Causal attention of several sequences' newest positions over everything before them. Neighbours with the same prefix
  /// read it together: their queries are one matrix, so each of its keys and values is read once for all of them.
  ///
  /// - Parameters:
  ///   - queries: `[Σ rows, heads·d]`, sequence after sequence.
  ///   - keyHeads: divides `heads`; query head h reads key head `h / (heads / keyHeads)`.
  /// - Returns: `[Σ rows, heads·d]`.
  public static func causalAttention(
    queries: Tensor, sequences: [AttendingSequence], heads: Int, keyHeads: Int, scale: Float
  ) -> Tensor {
    let (n, width) = (queries.shape[0], queries.shape[1])
    let d = width / heads
    precondition(d * heads == width && heads % keyHeads == 0 && sequences.reduce(0) { $0 + $1.rows } == n)
    let span = Profile.begin(.attention(queries, sequences, heads: heads))
    defer { Profile.end(span) }
    let blocks = AttentionBlock.cut(sequences)
    let area = blocks.reduce(0) { max($0, $1.rows * $1.width) }
    let scratchCount = blocks.reduce(0) { max($0, $1.scratchCount) }
    return queries.withUnsafe { q in
      Tensor([n, width]) { out in
        guard let q = q.baseAddress, let out = out.baseAddress else { return }
        let grain = max(1, (1 << 15) / max(area * (heads / keyHeads), 1))
        ComputePool.forEach(keyHeads * blocks.count, grain: grain) { jobs in
          let scores = Buffer(uninitialized: area * (heads / keyHeads))
          let scratch = Buffer(uninitialized: scratchCount)
          for job in jobs {
            let (keyHead, block) = (job / blocks.count, blocks[job % blocks.count])
            let task = AttentionTask(
              block: block, keyHead: keyHead, group: heads / keyHeads, d: d, width: width, scale: scale,
              scores: scores.base, scratch: scratch.base)
            task.run(q, out)
          }
        }
      }
    }
  }

  /// Copies `source` over the rows from `row` on, in place. `source [n, …]`, this tensor `[N, …]`, `row + n ≤ N`.
  public mutating func replaceRows(from row: Int, with source: Tensor) {
    let stride = shape.dropFirst().reduce(1, *)
    precondition(source.shape.dropFirst() == shape.dropFirst() && row >= 0 && row + source.shape[0] <= shape[0])
    withUnsafeMutable { to in
      source.withUnsafe { from in
        guard let to = to.baseAddress, let from = from.baseAddress else { return }
        (to + row * stride).update(from: from, count: source.count)
      }
    }
  }
}

/// Consecutive rows of queries that read the same prefix, and each its sequence's own positions.
struct AttentionBlock {
  /// Rows of one sequence. None sees a position behind its last row, so half of a long prefill is never computed.
  struct Span {
    /// The first row, counted within the block.
    let first: Int
    let rows: Int
    let own: KeyValueSegment
    /// How many of its own positions the last row sees.
    let visible: Int
  }

  let first: Int
  let prefix: KeyValueSegment?
  private(set) var rows = 0
  private(set) var spans: [Span] = []
  /// The most own positions that a row sees.
  private(set) var ownWidth = 0

  private static let limit = 128

  var prefixCount: Int { prefix?.count ?? 0 }
  /// The scores of a row: the prefix's, then its own.
  var width: Int { prefixCount + ownWidth }
  var scratchCount: Int { spans.reduce(prefix?.scratchCount ?? 0) { max($0, $1.own.scratchCount) } }

  static func cut(_ sequences: [AttendingSequence]) -> [AttentionBlock] {
    var (blocks, row) = ([AttentionBlock](), 0)
    for sequence in sequences {
      for start in stride(from: 0, to: sequence.rows, by: limit) {
        let count = min(limit, sequence.rows - start)
        let fits = blocks.last.map { $0.takes(sequence.prefix, count) } ?? false
        if !fits { blocks.append(AttentionBlock(first: row, prefix: sequence.prefix)) }
        blocks[blocks.count - 1].add(sequence, start, count)
        row += count
      }
    }
    return blocks
  }

  private init(first: Int, prefix: KeyValueSegment?) { (self.first, self.prefix) = (first, prefix) }

  private func takes(_ other: KeyValueSegment?, _ count: Int) -> Bool {
    guard rows + count <= Self.limit, let prefix, let other else { return false }
    return prefix.isSame(as: other)
  }

  private mutating func add(_ sequence: AttendingSequence, _ start: Int, _ count: Int) {
    let visible = sequence.own.count - sequence.rows + start + count
    spans.append(Span(first: rows, rows: count, own: sequence.own, visible: visible))
    rows += count
    ownWidth = max(ownWidth, visible)
  }
}

/// The work on one block for the query heads that share a key head. Their scores are held at once, so that packed keys and
/// values are widened once for all of them.
private struct AttentionTask {
  let block: AttentionBlock
  let keyHead: Int
  /// How many query heads share the key head.
  let group: Int
  let d: Int
  /// From row to row of queries and output.
  let width: Int
  let scale: Float
  /// `[group, rows, block.width]`
  let scores: UnsafeMutablePointer<Float>
  let scratch: UnsafeMutablePointer<Float>

  func run(_ queries: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>) {
    let columns = block.width
    let q = queries + block.first * width + keyHead * group * d
    let o = out + block.first * width + keyHead * group * d
    if let prefix = block.prefix {
      prefix.withRows(.keys, head: keyHead, width: d, scratch: scratch) { keys, stride in
        for g in 0..<group {
          gemm(
            transposeB: true, rows: block.rows, columns: prefix.count, inner: d, alpha: scale, a: q + g * d,
            strideA: width, b: keys, strideB: stride, c: scores(g), strideC: columns)
        }
      }
    }
    for span in block.spans {
      span.own.withRows(.keys, head: keyHead, width: d, scratch: scratch) { keys, stride in
        for g in 0..<group {
          let target = scores(g) + span.first * columns + block.prefixCount
          gemm(
            transposeB: true, rows: span.rows, columns: span.visible, inner: d, alpha: scale,
            a: q + span.first * width + g * d, strideA: width, b: keys, strideB: stride, c: target, strideC: columns)
          for i in 0..<span.rows {
            let seen = span.visible - span.rows + i + 1
            (target + i * columns + seen).update(repeating: -.infinity, count: block.ownWidth - seen)
          }
        }
      }
    }
    kernels.softmax_rows(scores, group * block.rows, columns)
    if let prefix = block.prefix {
      prefix.withRows(.values, head: keyHead, width: d, scratch: scratch) { values, stride in
        for g in 0..<group {
          gemm(
            transposeB: false, rows: block.rows, columns: d, inner: prefix.count, a: scores(g), strideA: columns,
            b: values, strideB: stride, c: o + g * d, strideC: width)
        }
      }
    }
    for span in block.spans {
      span.own.withRows(.values, head: keyHead, width: d, scratch: scratch) { values, stride in
        for g in 0..<group {
          gemm(
            transposeB: false, rows: span.rows, columns: d, inner: span.visible,
            a: scores(g) + span.first * columns + block.prefixCount, strideA: columns, b: values, strideB: stride,
            beta: block.prefix == nil ? 0 : 1, c: o + span.first * width + g * d, strideC: width)
        }
      }
    }
  }

  private func scores(_ g: Int) -> UnsafeMutablePointer<Float> { scores + g * block.rows * block.width }
}
