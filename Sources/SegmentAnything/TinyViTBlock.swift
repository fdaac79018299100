import Checkpoints
import Layers
import Synchronization
import Tensors

/// Window attention, a depthwise convolution that has no residual, and an MLP. Source: `tiny_vit_sam.py`, `TinyViTBlock`.
struct TinyViTBlock: Sendable {
  let attention: TinyViTAttention
  let localConvolution: DepthwiseConv2d
  /// `mlp.norm`, `mlp.fc1`, `mlp.fc2`
  let norm: LayerNorm
  let mlp: FeedForward

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    attention = try TinyViTAttention(scope["attn"], width: width)
    let local = scope["local_conv"]
    localConvolution = try DepthwiseConv2d(
      local["c"], batchNorm: local["bn"], channels: width, kernel: 3, padding: 1)
    norm = try LayerNorm(scope["mlp"]["norm"], channels: width, epsilon: 1e-5)
    let widen = try Linear(scope["mlp"]["fc1"], inputs: width)
    mlp = FeedForward(
      widen: widen, narrow: try Linear(scope["mlp"]["fc2"], inputs: widen.outputs, outputs: width))
  }

  /// `[H, W, C]`, in place.
  func callAsFunction(_ x: inout Tensor) {
    Profile.layer("attn") { x.addToWindows(of: attention.window) { attention($0) } }
    x = Profile.layer("local_conv") { localConvolution(x) }
    Profile.layer("mlp") { mlp(norm(x), addingTo: &x) }
  }
}

/// Attention inside windows with one learned bias a head for each |dy|, |dx|. Source: `tiny_vit_sam.py`, `Attention`.
struct TinyViTAttention: Sendable {
  let norm: LayerNorm
  /// `qkv` is packed `[heads, (q, k, v), d]`; here taken apart.
  let q: Linear
  let k: Linear
  let v: Linear
  let output: Linear
  /// Of a token that padding brings in: its key and its value, `[C]`.
  let paddedKey: Tensor
  let paddedValue: Tensor
  /// `[heads, s², s²]`, keys in rows.
  let table: Tensor
  private let cuts = CutTables()
  let heads: Int
  let window: Int
  let precision: Precision

  init(_ scope: WeightScope, width: Int) throws(CheckpointError) {
    precision = scope.precision.beyondLinear
    norm = try LayerNorm(scope["norm"], channels: width, epsilon: 1e-5)
    let stored = try scope.tensor("attention_biases", [-1, -1])
    let (heads, offsets) = (stored.shape[0], stored.shape[1])
    let side = Int(Double(offsets).squareRoot().rounded())
    guard heads > 0, width % heads == 0, side > 0, side * side == offsets, side <= EncoderLimits.window / 2 else {
      throw scope.malformed(
        "attention_biases", "has shape \(stored.shape), not [heads, window²] with heads that divide \(width)")
    }
    (self.heads, window) = (heads, side)
    let headWidth = width / heads
    let qkv = try Linear(scope["qkv"].computing(in: .fp32), inputs: width, outputs: 3 * width)
    let split = qkv.weight.reshaped([heads, 3, headWidth, width]).permuted([1, 0, 2, 3])
    let bias = (qkv.bias ?? Tensor([3 * width])).reshaped([heads, 3, headWidth]).permuted([1, 0, 2])
    func part(_ i: Int) -> Linear {
      Linear(
        weight: split.row(i).reshaped([width, width]), bias: bias.row(i).reshaped([width]), precision: scope.precision
      ).packed()
    }
    (q, k, v) = (part(0), part(1), part(2))
    // The normalisation comes after the official zero padding, so that of padded tokens its bias is left.
    let padding = norm.bias.reshaped([1, width])
    (paddedKey, paddedValue) = (k(padding).reshaped([width]), v(padding).reshaped([width]))
    output = try Linear(scope["proj"], inputs: width, outputs: width).packed()
    table = Self.table(stored.values, heads: heads, side: side)
  }

  /// The bias of every pair of positions: entry |dy|·s + |dx| of the head's row, the same for both orders.
  private static func table(_ biases: [Float], heads: Int, side: Int) -> Tensor {
    let count = side * side
    return Tensor([heads, count, count]) { out in
      for head in 0..<heads {
        for i in 0..<count {
          for j in 0..<count {
            let (dy, dx) = (abs(i / side - j / side), abs(i % side - j % side))
            out[(head * count + i) * count + j] = biases[head * count + dy * side + dx]
          }
        }
      }
    }
  }

  /// Among the tokens of each window, `[n, h, w, C]` → `[n·h·w, C]`.
  func callAsFunction(_ windows: Tensor) -> Tensor {
    let (count, height, width, channels) = (windows.shape[0], windows.shape[1], windows.shape[2], windows.shape[3])
    let tokens = norm(windows)
    func seen(_ projected: Linear, _ padding: Tensor) -> Tensor {
      projected(tokens).padded(to: window, with: padding).reshaped([count, window * window, channels])
    }
    let mixed = Tensor.attention(
      queries: q(tokens).reshaped([count, height * width, channels]), keys: seen(k, paddedKey),
      values: seen(v, paddedValue), heads: heads, scale: 1 / Float(channels / heads).squareRoot(),
      bias: .table(table(height: height, width: width)),
      precision: precision)
    return output(mixed)
  }

  /// The columns of the table for the queries of a window that may be cut, `[heads, s², h·w]`.
  private func table(height: Int, width: Int) -> Tensor {
    height == window && width == window ? table : cuts.table(table, window: window, height: height, width: width)
  }
}

/// What is left of a table for windows that are cut, of which a map has at most three kinds.
private final class CutTables: Sendable {
  private let made = Mutex<[[Int]: Tensor]>([:])

  /// - Parameter table: `[heads, s², s²]`, keys in rows.
  /// - Returns: `[heads, s², h·w]`.
  func table(_ table: Tensor, window: Int, height: Int, width: Int) -> Tensor {
    made.withLock { made in
      if let found = made[[height, width]] { return found }
      let (rows, area) = (table.shape[0] * window * window, window * window)
      let cut = table.withUnsafe { table in
        Tensor([table.count / area / area, area, height * width]) { out in
          for row in 0..<rows {
            for i in 0..<height * width {
              out[row * height * width + i] = table[row * area + i / width * window + i % width]
            }
          }
        }
      }
      made[[height, width]] = cut
      return cut
    }
  }
}
