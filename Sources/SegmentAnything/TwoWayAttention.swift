import Checkpoints
import Layers
import Tensors

/// The decoder's attention, between tokens and the image. Source: `transformer.py`, `Attention`.
///
/// T tokens (seven for a click) meet L = h·w image cells (4096). The official code projects all L cells for every prompt;
/// here the T·heads side is multiplied with the projection instead, which is the same by associativity:
/// `(t W_q)(x W_k)ᵀ = (t W_q W_kᵀ) xᵀ`, and `softmax(…)(t W_v) W_o = softmax(…)(t W_v W_o)`.
struct TwoWayAttention: Sendable {
  let q: Linear
  let k: Linear
  let v: Linear
  let out: Linear
  /// `out.weight` the other way round, `[d, C]`, so that a head's part is a run of rows.
  let outRows: Tensor
  let heads: Int
  /// Channels of one head.
  let headWidth: Int

  private var scale: Float { 1 / Float(headWidth).squareRoot() }

  init(_ scope: WeightScope, width: Int, heads: Int) throws(CheckpointError) {
    q = try Linear(scope["q_proj"], inputs: width)
    let inner = q.outputs
    guard inner > 0, inner % heads == 0 else {
      throw scope["q_proj"].malformed("weight", "has \(inner) outputs, which \(heads) heads do not divide")
    }
    k = try Linear(scope["k_proj"], inputs: width, outputs: inner)
    v = try Linear(scope["v_proj"], inputs: width, outputs: inner)
    out = try Linear(scope["out_proj"], inputs: inner, outputs: width)
    outRows = out.weight.transposed()
    self.heads = heads
    headWidth = inner / heads
  }

  /// Plain attention, by the book: queries `[N, C]`, keys and values `[M, C]` → `[N, C]`.
  func callAsFunction(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor {
    attend(q(queries), k(keys), v(values))
  }

  /// Attention with everything projected already: `[N, d]`, `[M, d]`, `[M, d]` → `[N, C]`.
  func attend(_ queries: Tensor, _ keys: Tensor, _ values: Tensor) -> Tensor {
    let mixed = Tensor.attention(
      queries: queries.reshaped([1] + queries.shape), keys: keys.reshaped([1] + keys.shape),
      values: values.reshaped([1] + values.shape), heads: heads, scale: scale)
    return out(mixed.reshaped([queries.shape[0], -1]))
  }

  /// What tokens ask of image cells: the product with keys gives the scores, `[heads·T, C]`; with keys that are
  /// `projected` already, `[heads·T, d]`.
  ///
  /// - Parameter queries: `[T, C]`.
  func question(_ queries: Tensor, projected: Bool) -> Tensor {
    var perHead = headsFirst(q(queries))  // [heads, T, d/heads]
    perHead.scale(by: scale)
    // The keys' bias adds the same to all scores of a query, which the softmax takes out again.
    return projected ? onDiagonal(perHead) : times(perHead, k.weight)
  }

  /// What the tokens learn from cells that `question` weighed.
  ///
  /// - Parameter mixed: the weighed cells, `[heads·T, C]`, or their `projected` values, `[heads·T, d]`.
  /// - Returns: `[T, C]`.
  func answer(_ mixed: Tensor, projected: Bool) -> Tensor {
    let count = mixed.shape[0] / heads
    if projected { return out(diagonal(mixed, count)) }
    let parts = (0..<heads).map { head in
      mixed.rows(head * count..<(head + 1) * count).linear(rows(of: v.weight, head), bias: rows(of: v.bias, head))
    }
    let joined = Tensor.concatenated(parts).reshaped([heads, count, headWidth]).permuted([1, 0, 2])
    return out(joined.reshaped([count, heads * headWidth]))
  }

  /// How the image looks at tokens, for all its cells.
  struct Update: Sendable {
    /// `scores · cellsᵀ + bias` are the scores: `[heads·T, C]`, or `[heads·T, d]` for cells that are projected already.
    let scores: Tensor
    /// `[heads·T]`
    let bias: [Float]?
    /// `V·W_o`, `[heads·T, C]`.
    let values: PackedMatrix
    /// `[C]`
    let valueBias: Tensor?
    let heads: Int

    /// `cells + attention`, `[N, C]`.
    ///
    /// - Parameter queries: the cells with positions, transposed: `[C, N]`, or `[d, N]` where projected.
    func callAsFunction(_ cells: Tensor, queries: PackedMatrix) -> Tensor {
      var weights = Tensor([scores.shape[0], queries.columns]) { all in
        for row in 0..<scores.shape[0] {
          all[row * queries.columns..<(row + 1) * queries.columns].initialize(repeating: bias?[row] ?? 0)
        }
      }
      weights.add(scores, multipliedBy: queries, bias: nil)
      weights.softmaxDown(groups: heads)
      var updated = cells
      updated.add(weights.transposed(), multipliedBy: values, bias: valueBias)
      return updated
    }
  }

  /// - Parameters:
  ///   - keys: `[T, C]`. `values`: `[T, C]`.
  ///   - projected: whether the cells' queries are at hand.
  func update(keys: Tensor, values: Tensor, projected: Bool) -> Update {
    let count = keys.shape[0]
    var perHead = headsFirst(k(keys))  // [heads, T, d/heads]
    perHead.scale(by: scale)
    let bias = q.bias.map { bias in
      (0..<heads).flatMap { perHead.row($0).linear(rows(of: bias, $0).reshaped([1, headWidth])).values }
    }
    precondition(bias.map { $0.count == heads * count } ?? true)
    return Update(
      scores: projected ? onDiagonal(perHead) : times(perHead, q.weight), bias: projected ? nil : bias,
      values: PackedMatrix(times(headsFirst(v(values)), outRows), .fp32), valueBias: out.bias, heads: heads)
  }

  /// `[T, heads·e]` → `[heads, T, e]`.
  private func headsFirst(_ x: Tensor) -> Tensor {
    x.reshaped([x.shape[0], heads, headWidth]).permuted([1, 0, 2])
  }

  /// Each head's rows of `x [heads, T, e]` times that head's rows of `weight [heads·e, C]`: `[heads·T, C]`.
  private func times(_ x: Tensor, _ weight: Tensor) -> Tensor {
    Tensor.concatenated((0..<heads).map { x.row($0).multiplied(by: rows(of: weight, $0)) })
  }

  /// `[heads, T, e]` → `[heads·T, heads·e]`, each head's block in its own columns and zeros elsewhere.
  private func onDiagonal(_ x: Tensor) -> Tensor {
    let (count, width) = (x.shape[1], heads * headWidth)
    return x.withUnsafe { source in
      Tensor([heads * count, width]) { target in
        target.initialize(repeating: 0)
        for row in 0..<heads * count {
          for i in 0..<headWidth { target[row * width + row / count * headWidth + i] = source[row * headWidth + i] }
        }
      }
    }
  }

  /// `[heads·T, heads·e]` → `[T, heads·e]`: each head's block of its own columns.
  private func diagonal(_ x: Tensor, _ count: Int) -> Tensor {
    let width = heads * headWidth
    return x.withUnsafe { source in
      Tensor([count, width]) { target in
        for token in 0..<count {
          for i in 0..<width { target[token * width + i] = source[(i / headWidth * count + token) * width + i] }
        }
      }
    }
  }

  private func rows(of weight: Tensor, _ head: Int) -> Tensor {
    weight.rows(head * headWidth..<(head + 1) * headWidth)
  }

  private func rows(of bias: Tensor?, _ head: Int) -> Tensor? { bias.map { rows(of: $0, head) } }
}
