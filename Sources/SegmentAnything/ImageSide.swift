import Checkpoints
import Layers
import Tensors

/// What the decoder needs of one image, the same for all prompts without a mask. It is kept with the embedding, so that a second click
/// does none of it.
///
/// Each of the transformer's updates adds to a cell x what it sees in the prompt's tokens, P·M (P `[heads·T]`, a softmax; M
/// `[heads·T, C]`), and norms the sum. The norm divides by a number of that cell alone; all else it does is linear. So after any
/// number of updates a cell is
///
///     x = a·(U + ẑ·R) + β
///
/// where U is the image's and no prompt's, R `[J, C]` is the prompt's and no cell's, and only a and ẑ `[J]` belong to both. With seven
/// tokens, eight heads and two updates J is 112, less than half of the 256 numbers of x, which need never be made: keys, values
/// and queries of U are here, projected once for all prompts, and those of R are small. This is exact: nothing is left out.
///
/// Legend: C channels, d = heads·e those of an attention, γ and β a norm's weight and bias, Ū a U less its mean, as norms begin;
/// M includes what is the same for all cells (the output's bias and the last β), since a head's weights sum to 1.
struct ImageSide: Sendable {
  /// Embedding plus the dense prompt, `[L, C]`.
  let cells: Tensor
  let blocks: [Block]
  /// How many numbers this holds.
  let count: Int

  /// Some of the cells, N.
  struct Block: Sendable {
    /// N
    let cells: Int
    /// U before the first update, after it, and so on.
    let stages: [Stage]
    /// The last U by the first convolution of the upscaling, `[4·C₁, N]`.
    let upscaled: Panels
  }

  struct Stage: Sendable {
    /// `[d, N]`; in the first stage with the positions.
    let keys: Panels
    /// `[d, N]`
    let values: Panels
    let update: Update?
  }

  /// What the update needs that makes the next stage of this one.
  struct Update: Sendable {
    /// `[d, N]`; in the first stage with the positions and the bias.
    let queries: Panels
    /// `|Ū|²`, `[1, N]`.
    let squares: Panels
    /// `2·Ū·R̄`, of the rows that each update so far has given R, this one's last.
    let products: [Products]
  }

  /// Twice the products of Ū with one update's rows M = v·W_o + c, brought to this stage.
  struct Products: Sendable {
    /// `2·Ū·W_oᵀ`, `[d, N]`: what a head's v are to be multiplied with.
    let values: Panels
    /// `2·Ū·c / heads`, `[1, N]`.
    let constant: Panels
  }
}

/// What positions are to the attentions after the first update: the same for all images.
struct PositionSide: Sendable {
  let blocks: [Block]

  struct Block: Sendable {
    /// `(position) W_k` of each stage after the first, `[d, N]`.
    let keys: [Panels]
    /// `(β + position) W_q + b` of each stage but the first and the last, `[d, N]`.
    let queries: [Panels]
  }
}

extension TwoWayTransformer {
  /// The attention that looks at the image at a stage.
  func looking(at stage: Int) -> TwoWayAttention {
    stage < layers.count ? layers[stage].tokensToImage : finalAttention
  }

  /// What an update adds to all cells alike: its output's bias and the β of the norm before it. `[C]`
  func constant(of update: Int) -> Tensor {
    let width = layers[update].norm4.bias.count
    var sum = layers[update].imageToTokens.out.bias ?? Tensor([width])
    if update > 0 { sum.add(layers[update - 1].norm4.bias) }
    return sum
  }

  /// - Parameter positions: of the image's cells, `[L, C]`.
  func positionSide(_ positions: Tensor) -> PositionSide {
    var (keys, queries) = ([Tensor](), [Tensor]())
    for stage in 1...layers.count {
      keys.append(positions.linear(looking(at: stage).k.weight))
      guard stage < layers.count else { continue }
      var located = positions
      located.addRow(layers[stage - 1].norm4.bias.reshaped([1, -1]))
      queries.append(layers[stage].imageToTokens.q(located))
    }
    return PositionSide(
      blocks: CellBlock.ranges(positions.shape[0]).map { range in
        PositionSide.Block(
          keys: keys.map { Panels(transposing: $0.rows(range)) },
          queries: queries.map { Panels(transposing: $0.rows(range)) })
      })
  }

  /// - Parameters:
  ///   - cells: image embedding plus dense prompt, `[L, C]`.
  ///   - positions: of the cells, `[L, C]`.
  ///   - upscaling: the weight of its first convolution, `[C, 4·C₁]`.
  func imageSide(cells: Tensor, positions: Tensor, upscaling: Tensor) -> ImageSide {
    let (ranges, upscaling) = (CellBlock.ranges(cells.shape[0]), PackedMatrix(upscaling, .fp32))
    let blocks = ComputePool.map(ranges.count) {
      block(cells: cells.rows(ranges[$0]), positions: positions.rows(ranges[$0]), upscaling: upscaling)
    }
    return ImageSide(cells: cells, blocks: blocks, count: cells.count + blocks.reduce(0) { $0 + $1.numbers })
  }

  /// - Parameters:
  ///   - cells, positions: `[N, C]`.
  ///   - upscaling: `[C, 4·C₁]`
  private func block(cells: Tensor, positions: Tensor, upscaling: PackedMatrix) -> ImageSide.Block {
    var stages: [ImageSide.Stage] = []
    var u = cells
    for stage in 0...layers.count {
      let attention = looking(at: stage)
      let located = stage == 0 ? u + positions : u
      let (keys, values) = (attention.k.product(located), attention.v.product(u))
      var update: ImageSide.Update?
      if stage < layers.count {
        let centred = u.centred()
        update = self.update(stage, located: located, u: u, centred: centred)
        u = centred.multipliedByRow(layers[stage].norm4.weight)
      }
      stages.append(
        ImageSide.Stage(keys: Panels(transposing: keys), values: Panels(transposing: values), update: update))
    }
    return ImageSide.Block(
      cells: cells.shape[0], stages: stages, upscaled: Panels(transposing: u.multiplied(by: upscaling)))
  }

  /// - Parameters:
  ///   - located: u, in the first stage with the positions.
  ///   - centred: u less each cell's mean, Ū.
  private func update(_ stage: Int, located: Tensor, u: Tensor, centred: Tensor) -> ImageSide.Update {
    let toTokens = layers[stage].imageToTokens
    var products: [ImageSide.Products] = []
    // R̄ of an earlier update went through centring and γ once more with each later one; Ū goes the same way back instead.
    var back = centred
    for earlier in (0...stage).reversed() {
      if earlier < stage { back = back.multipliedByRow(layers[earlier].norm4.weight).centred() }
      var doubled = back
      doubled.scale(by: 2)
      var constant = doubled.linear(self.constant(of: earlier).reshaped([1, -1]))
      constant.scale(by: 1 / Float(toTokens.heads))
      products.append(
        ImageSide.Products(
          values: Panels(transposing: doubled.multiplied(by: layers[earlier].imageToTokens.outBack)),
          constant: Panels(transposing: constant)))
    }
    return ImageSide.Update(
      queries: Panels(transposing: stage == 0 ? toTokens.q(located) : toTokens.q.product(u)),
      squares: Panels(transposing: centred.squareSums()), products: products.reversed())
  }
}

extension ImageSide.Block {
  fileprivate var numbers: Int {
    stages.reduce(upscaled.numbers) { sum, stage in
      let update = stage.update.map { update in
        update.products.reduce(update.queries.numbers + update.squares.numbers) {
          $0 + $1.values.numbers + $1.constant.numbers
        }
      }
      return sum + stage.keys.numbers + stage.values.numbers + (update ?? 0)
    }
  }
}

extension Tensor {
  /// Each row less its mean. `[N, C]`
  func centred() -> Tensor {
    let width = shape[1]
    let means = linear(Tensor([1, width], repeating: 1 / Float(width))).values
    var result = self
    result.withUnsafeMutable { all in
      for (row, mean) in means.enumerated() {
        for i in row * width..<(row + 1) * width { all[i] -= mean }
      }
    }
    return result
  }

  /// The sum of each row's squares, `[N, C]` → `[N, 1]`.
  func squareSums() -> Tensor {
    var squares = self
    squares.withUnsafeMutable { all in for i in all.indices { all[i] *= all[i] } }
    return squares.linear(Tensor([1, shape[1]], repeating: 1))
  }

  /// Each row times `factors [C]`, number by number.
  func multipliedByRow(_ factors: Tensor) -> Tensor {
    var result = self
    let width = shape[1]
    factors.withUnsafe { factors in
      result.withUnsafeMutable { all in
        for first in stride(from: 0, to: all.count, by: width) {
          for i in 0..<width { all[first + i] *= factors[i] }
        }
      }
    }
    return result
  }
}
