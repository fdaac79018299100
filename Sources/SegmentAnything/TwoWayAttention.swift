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
    outRows = out.weight.permuted([1, 0])
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

  /// Tokens look at the image.
  ///
  /// - Parameters:
  ///   - queries: `[T, C]`.
  ///   - keys: the image with positions, `[L, C]`.
  ///   - values: the image, `[L, C]`.
  /// - Returns: `[T, C]`.
  func tokensToImage(_ queries: Tensor, keys: Tensor, values: Tensor) -> Tensor {
    let count = queries.shape[0]
    var perHead = headsFirst(q(queries))  // [heads, T, d/heads]
    perHead.scale(by: scale)
    // The keys' bias adds the same to all scores of a query, which the softmax takes out again.
    var scores = times(perHead, k.weight).linear(keys)  // [heads·T, L]
    scores.softmax()
    let mixed = scores.multiplied(by: values)  // [heads·T, C]
    let projected = (0..<heads).map { head in
      mixed.rows(head * count..<(head + 1) * count).linear(rows(of: v.weight, head), bias: rows(of: v.bias, head))
    }
    let joined = Tensor.concatenated(projected).reshaped([heads, count, headWidth]).permuted([1, 0, 2])
    return out(joined.reshaped([count, heads * headWidth]))
  }

  /// The image looks at the tokens.
  ///
  /// - Parameters:
  ///   - image: the image with positions, `[L, C]`, or `projected`, its queries `[L, d]`, where they are at hand.
  ///   - keys: `[T, C]`. `values`: `[T, C]`.
  /// - Returns: `[L, C]`.
  func imageToTokens(_ image: Tensor, projected: Tensor? = nil, keys: Tensor, values: Tensor) -> Tensor {
    let count = keys.shape[0]
    var perHead = headsFirst(k(keys))  // [heads, T, d/heads]
    perHead.scale(by: scale)
    var scores: Tensor  // [L, heads·T]
    if let projected {
      scores = projected.linear(onDiagonal(perHead))
    } else {
      let bias = q.bias.map { bias in
        Tensor.concatenated((0..<heads).map { perHead.row($0).linear(rows(of: bias, $0).reshaped([1, headWidth])) })
      }
      scores = image.linear(times(perHead, q.weight), bias: bias?.reshaped([heads * count]))
    }
    let cells = scores.shape[0]
    scores = scores.reshaped([cells * heads, count])
    scores.softmax()
    let mixed = times(headsFirst(v(values)), outRows)  // [heads·T, C]
    return scores.reshaped([cells, heads * count]).multiplied(by: mixed, bias: out.bias)
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

  private func rows(of weight: Tensor, _ head: Int) -> Tensor {
    weight.rows(head * headWidth..<(head + 1) * headWidth)
  }

  private func rows(of bias: Tensor?, _ head: Int) -> Tensor? { bias.map { rows(of: $0, head) } }
}
