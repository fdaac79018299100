import Layers
import Tensors

/// A prompt's part of the cells after some updates, `x = a·(U + ẑ·R) + β` (see `ImageSide`): R, and what it is made of.
struct CellBasis {
  /// R, `[J, C]`; of each update so far `heads·T` rows.
  private(set) var rows: Tensor?
  /// Of each update so far the tokens' values by head, `[heads, T, e]`.
  private var values: [Tensor] = []

  /// What tokens ask of cells in this basis.
  ///
  /// - Parameter queries: `[T, C]`.
  func question(_ queries: Tensor, of attention: TwoWayAttention) -> Question {
    let perHead = attention.heads(ofQueries: queries)
    return Question(
      heads: Strips(heads: perHead),
      rows: rows.map { Strips(attention.times(perHead, attention.k.weight.linear($0))) },
      count: perHead.shape[0] * perHead.shape[1], width: perHead.shape[2])
  }

  struct Question: Sendable {
    /// To be multiplied with the keys of U, and with those of positions.
    let heads: Strips
    /// To be multiplied with ẑ, `[heads·T, J]`.
    let rows: Strips?
    /// heads·T
    let count: Int
    /// e
    let width: Int
  }

  /// What tokens learn from cells, `[T, C]`.
  ///
  /// - Parameters:
  ///   - mixed: the cells' values of U, `[heads·T, e]`, and their ẑ `[J]` beside them, as the question weighed them.
  ///   - beta: of the cells' last norm, `[C]`.
  func answer(_ mixed: Tensor, of attention: TwoWayAttention, beta: Tensor?) -> Tensor {
    let (e, width) = (attention.headWidth, mixed.shape[1])
    var own = mixed.columns(0..<e)
    if let rows {
      let values = attention.v.weight.linear(rows)  // [d, J]
      let inBasis = mixed.columns(e..<width)
      own.add(attention.byHead(inBasis, values))
    }
    var bias = beta.map { $0.reshaped([1, -1]).linear(attention.v.weight) } ?? Tensor([1, attention.heads * e])
    if let own = attention.v.bias { bias.addRow(own.reshaped([1, -1])) }
    var joined = attention.tokensFirst(own)
    joined.addRow(bias)
    return attention.out(joined)
  }

  /// How cells look at tokens, and what becomes of them.
  struct Update: Sendable {
    /// To be multiplied with the queries of U, and with those of positions.
    let heads: Strips
    /// To be multiplied with ẑ, `[heads·T, J]`.
    let rows: Strips?
    /// Of each update so far, this one's last: to be multiplied with `ImageSide.Products.values`.
    let values: [Strips]
    /// `R̄·R̄ᵀ`
    let squares: Strips
    let headCount: Int
    /// e
    let headWidth: Int
    /// T
    let terms: Int
    let channels: Int
    let epsilon: Float
  }

  /// Goes on to the next basis.
  ///
  /// - Parameters:
  ///   - keys, values: of the tokens, `[T, C]`.
  ///   - constant: what the update adds to all cells alike, `[C]`.
  mutating func update(
    keys: Tensor, values tokens: Tensor, by attention: TwoWayAttention, constant: Tensor, norm: LayerNorm
  ) -> Update {
    let perHead = attention.heads(ofKeys: keys)
    let old = rows.map { Strips(attention.times(perHead, attention.q.weight.linear($0))) }
    let own = attention.heads(ofValues: tokens)
    values.append(own)
    var share = constant.reshaped([1, -1])
    share.scale(by: 1 / Float(attention.heads))
    var added = attention.times(own, attention.outRows)
    added.addRow(share)
    let centred = (rows.map { Tensor.concatenated([$0, added]) } ?? added).centred()
    rows = centred.multipliedByRow(norm.weight)
    return Update(
      heads: Strips(heads: perHead), rows: old, values: values.map { Strips(heads: $0) },
      squares: Strips(quadratic: centred.linear(centred)), headCount: attention.heads, headWidth: attention.headWidth,
      terms: own.shape[1],
      channels: centred.shape[1], epsilon: norm.epsilon)
  }
}

/// A prompt's part of a block of N cells after some updates.
struct CellState: Sendable {
  /// ẑ, `[J, N]`
  let coefficients: Panels
  /// a, `[1, N]`
  let scale: Panels
}

extension ImageSide.Block {
  /// What a prompt's tokens see in these cells: `Σ weight · (values of U, ẑ)`, `[heads·T, e + J]`.
  func seen(
    _ question: CellBasis.Question, heads: Int, _ state: CellState?, stage: Int, _ positions: PositionSide.Block
  ) -> Glimpse {
    let (rows, e, own) = (question.count, question.width, state?.coefficients.rows ?? 0)
    let shared = (own > 0 ? 3 : 2) * e
    return Profile.measure(
      .cellsSeen, [cells, rows, own], flops: 2 * cells * rows * (shared + 2 * own),
      numbers: cells * (heads * shared + own)
    ) { look(question, heads: heads, state, stage: stage, positions) }
  }

  private func look(
    _ question: CellBasis.Question, heads: Int, _ state: CellState?, stage: Int, _ positions: PositionSide.Block
  ) -> Glimpse {
    let (w, rows, panels) = (Panels.width, question.count, stages[stage].keys.count)
    let length = panels * w
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: (rows + Strips.slack) * length) { memory in
      guard let scores = memory.baseAddress else { preconditionFailure("no memory for \(rows) rows of scores") }
      for panel in 0..<panels {
        let own = scores + panel * w
        question.heads.multiply(stages[stage].keys[panel], into: own, stride: length, adds: false)
        guard let state, let inBasis = question.rows else { continue }
        inBasis.multiply(state.coefficients[panel], into: own, stride: length, adds: true)
        Columns.scale(own, rows: rows, stride: length, by: state.scale[panel])
        question.heads.multiply(positions.keys[stage - 1][panel], into: own, stride: length, adds: true)
      }
      let softmax = BlockSoftmax(scores, rows: rows, cells: cells, stride: length)
      let columns = question.width + (state?.coefficients.rows ?? 0)
      let mixed = Tensor([rows, columns]) { out in
        guard let out = out.baseAddress else { return }
        if let state {
          softmax.scale(by: state.scale[0])
          softmax.mix(state.coefficients, into: out + question.width, stride: columns)
        }
        softmax.mix(stages[stage].values, heads: heads, into: out, stride: columns)
      }
      return Glimpse(mixed: mixed, tops: softmax.tops, sums: softmax.sums)
    }
  }

  /// The cells after one more update.
  func updated(
    by update: CellBasis.Update, _ state: CellState?, stage: Int, _ positions: PositionSide.Block
  ) -> CellState {
    let (rows, old, e) = (update.headCount * update.terms, state?.coefficients.rows ?? 0, update.headWidth)
    let (all, shared) = (old + rows, (old > 0 ? 2 : 1) + update.values.count)
    return Profile.measure(
      .cellsUpdated, [cells, rows, all], flops: 2 * cells * (rows * (e * shared + old) + all * all / 2 + all),
      numbers: cells * (update.headCount * e * shared + old + all)
    ) { next(by: update, state, stage: stage, positions) }
  }

  private func next(
    by update: CellBasis.Update, _ state: CellState?, stage: Int, _ positions: PositionSide.Block
  ) -> CellState {
    guard let own = stages[stage].update else { preconditionFailure("no update follows stage \(stage)") }
    let (w, panels) = (Panels.width, own.queries.count)
    let (rows, old) = (update.headCount * update.terms, state?.coefficients.rows ?? 0)
    let next = CellState(
      coefficients: Panels(count: panels, rows: old + rows), scale: Panels(count: panels, rows: 1))
    withUnsafeTemporaryAllocation(of: Float.self, capacity: (old + rows + Strips.slack) * w + w) { memory in
      guard let sums = memory.baseAddress else { preconditionFailure("no memory for \(old + rows) rows") }
      let products = sums + w
      for panel in 0..<panels {
        let (z, scale) = (next.coefficients[panel], next.scale[panel])
        let weights = z + old * w
        // The weights P of the tokens, over a, since x is a times what is in the brackets.
        if let state, let inBasis = update.rows {
          z.update(from: state.coefficients[panel], count: old * w)
          update.heads.multiply(own.queries[panel], into: weights, adds: false)
          inBasis.multiply(z, into: weights, adds: true)
          Columns.scale(weights, rows: rows, by: state.scale[panel])
          update.heads.multiply(positions.queries[stage - 1][panel], into: weights, adds: true)
          Columns.softmax(weights, groups: update.headCount, terms: update.terms)
          for i in 0..<w { sums[i] = 1 / state.scale[panel][i] }
          Columns.scale(weights, rows: rows, by: sums)
        } else {
          update.heads.multiply(own.queries[panel], into: weights, adds: false)
          Columns.softmax(weights, groups: update.headCount, terms: update.terms)
        }
        // |Ū + ẑ·R̄|² = |Ū|² + Σⱼ ẑⱼ (2·Ū·R̄ⱼ + (R̄·R̄ᵀ ẑ)ⱼ)
        for (group, (with, values)) in zip(own.products, update.values).enumerated() {
          let target = products + group * rows * w
          for row in 0..<rows { (target + row * w).update(from: with.constant[panel], count: w) }
          values.multiply(with.values[panel], into: target, adds: true)
        }
        update.squares.multiply(z, into: products, adds: true)
        sums.update(from: own.squares[panel], count: w)
        Columns.addProducts(of: z, products, rows: old + rows, to: sums)
        for i in 0..<w {
          let a = state?.scale[panel][i] ?? 1
          // Rounding may leave a little less than nothing.
          let variance = max(0, a * a * sums[i] / Float(update.channels))
          scale[i] = a / (variance + update.epsilon).squareRoot()
        }
      }
    }
    return next
  }
}

extension Tensor {
  /// Some columns of `[N, C]`.
  fileprivate func columns(_ range: Range<Int>) -> Tensor {
    let (rows, width) = (shape[0], shape[1])
    return withUnsafe { all in
      Tensor([rows, range.count]) { out in
        for row in 0..<rows {
          for i in 0..<range.count { out[row * range.count + i] = all[row * width + range.lowerBound + i] }
        }
      }
    }
  }
}
