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
  /// The same as cells are multiplied with it, `[C, d]`.
  let outBack: PackedMatrix
  let heads: Int
  /// Channels of one head.
  let headWidth: Int

  private var scale: Float { 1 / Float(headWidth).squareRoot() }

  init(_ scope: WeightScope, width: Int, heads: Int) throws(CheckpointError) {
    // Packed, since a prompt's few tokens go through them one after the other.
    q = try Linear(scope["q_proj"], inputs: width).packed()
    let inner = q.outputs
    guard inner > 0, inner % heads == 0 else {
      throw scope["q_proj"].malformed("weight", "has \(inner) outputs, which \(heads) heads do not divide")
    }
    k = try Linear(scope["k_proj"], inputs: width, outputs: inner).packed()
    v = try Linear(scope["v_proj"], inputs: width, outputs: inner).packed()
    out = try Linear(scope["out_proj"], inputs: inner, outputs: width).packed()
    outRows = out.weight.transposed()
    outBack = PackedMatrix(out.weight, .fp32)
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

  /// What tokens ask of image cells: the product with keys gives the scores, `[heads·T, C]`.
  ///
  /// - Parameter queries: `[T, C]`.
  func question(_ queries: Tensor) -> Tensor {
    // The keys' bias adds the same to all scores of a query, which the softmax takes out again.
    times(heads(ofQueries: queries), k.weight)
  }

  /// What the tokens learn from cells that `question` weighed, `[heads·T, C]` → `[T, C]`.
  func answer(_ mixed: Tensor) -> Tensor {
    var joined = tokensFirst(byHead(mixed, v.weight))
    if let bias = v.bias { joined.addRow(bias.reshaped([1, -1])) }
    return out(joined)
  }

  /// How the image looks at tokens, for all its cells.
  struct Update: Sendable {
    /// `scores · cellsᵀ + bias` are the scores, `[heads·T, C]`.
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
    /// - Parameter queries: the cells with positions, transposed: `[C, N]`.
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
  func update(keys: Tensor, values: Tensor) -> Update {
    let perHead = heads(ofKeys: keys)
    let bias = q.bias.map { bias in
      (0..<heads).flatMap { perHead.row($0).linear(rows(of: bias, $0).reshaped([1, headWidth])).values }
    }
    precondition(bias.map { $0.count == perHead.shape[0] * perHead.shape[1] } ?? true)
    return Update(
      scores: times(perHead, q.weight), bias: bias,
      values: PackedMatrix(times(heads(ofValues: values), outRows), .fp32), valueBias: out.bias, heads: heads)
  }

  /// The tokens' queries by head, scaled: `[T, C]` → `[heads, T, e]`.
  func heads(ofQueries tokens: Tensor) -> Tensor { headsFirst(q(tokens), scale) }

  /// Likewise their keys, scaled, since the image's queries are not.
  func heads(ofKeys tokens: Tensor) -> Tensor { headsFirst(k(tokens), scale) }

  func heads(ofValues tokens: Tensor) -> Tensor { headsFirst(v(tokens), 1) }

  /// `[T, heads·e]` → `[heads, T, e]`.
  private func headsFirst(_ x: Tensor, _ scale: Float) -> Tensor {
    var perHead = x.reshaped([x.shape[0], heads, headWidth]).permuted([1, 0, 2])
    if scale != 1 { perHead.scale(by: scale) }
    return perHead
  }

  /// `[heads·T, e]` → `[T, heads·e]`.
  func tokensFirst(_ x: Tensor) -> Tensor {
    let count = x.shape[0] / heads
    return x.reshaped([heads, count, headWidth]).permuted([1, 0, 2]).reshaped([count, heads * headWidth])
  }

  /// Each head's rows of `x [heads, T, e]` times that head's rows of `weight [heads·e, K]`: `[heads·T, K]`.
  func times(_ x: Tensor, _ weight: Tensor) -> Tensor {
    Tensor.concatenated((0..<heads).map { x.row($0).multiplied(by: rows(of: weight, $0)) })
  }

  /// Each head's rows of `x [heads·T, K]` times that head's rows of `weight [heads·e, K]`, transposed: `[heads·T, e]`.
  func byHead(_ x: Tensor, _ weight: Tensor) -> Tensor {
    let count = x.shape[0] / heads
    return Tensor.concatenated(
      (0..<heads).map { x.rows($0 * count..<($0 + 1) * count).linear(rows(of: weight, $0)) })
  }

  private func rows(of weight: Tensor, _ head: Int) -> Tensor {
    weight.rows(head * headWidth..<(head + 1) * headWidth)
  }

}
