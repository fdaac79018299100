import Layers
import Tensors

/// Cells that stay in the second cache while a layer of the decoder works on them.
struct CellBlock: Sendable {
  /// `[N, C]`
  let cells: Tensor
  /// The cells with positions, transposed: `[C, N]`.
  let located: PackedMatrix

  /// - Parameter positions: of the cells, `[N, C]`.
  init(_ cells: Tensor, _ positions: Tensor) {
    self.cells = cells
    located = PackedMatrix(transposing: cells + positions, .fp32)
  }

  /// 256 cells of 256 channels are 256 KB, and as much again packed.
  private static let length = 256

  static func ranges(_ cells: Int) -> [Range<Int>] {
    stride(from: 0, to: cells, by: length).map { $0..<min($0 + length, cells) }
  }
}

/// What tokens see in one block of cells: an attention whose softmax is still to be joined with other blocks'.
struct Glimpse: Sendable {
  /// `Σ exp(score − top) · value`, `[heads·T, e]`.
  private let mixed: Tensor
  /// Of each row: the greatest score, and the sum of exponentials.
  private let tops: [Float]
  private let sums: [Float]

  /// - Parameters:
  ///   - question: `[heads·T, K]`.
  ///   - keys: `[K, N]`. `values`: `[N, e]`.
  init(_ question: Tensor, keys: PackedMatrix, values: PackedMatrix) {
    var scores = question.multiplied(by: keys)
    (tops, sums) = scores.exponentiateRows()
    mixed = scores.multiplied(by: values)
  }

  /// - Parameters:
  ///   - mixed: `[heads·T, e]`.
  ///   - tops, sums: `[heads·T]`.
  init(mixed: Tensor, tops: [Float], sums: [Float]) { (self.mixed, self.tops, self.sums) = (mixed, tops, sums) }

  /// The attention over all blocks, `[heads·T, e]`.
  static func joined(_ parts: [Glimpse]) -> Tensor {
    guard let first = parts.first else { preconditionFailure("an image without cells") }
    let (rows, width) = (first.mixed.shape[0], first.mixed.shape[1])
    // A part counts as much as its greatest score does beside the greatest of all.
    var shares = Tensor([rows, parts.count], (0..<rows).flatMap { row in parts.map { $0.tops[row] } })
    _ = shares.exponentiateRows()
    var share = shares.values
    for row in 0..<rows {
      var total: Float = 0
      for (i, part) in parts.enumerated() { total += share[row * parts.count + i] * part.sums[row] }
      for i in parts.indices { share[row * parts.count + i] /= total }
    }
    return Tensor([rows, width]) { target in
      target.initialize(repeating: 0)
      for (i, part) in parts.enumerated() {
        part.mixed.withUnsafe { mixed in
          for row in 0..<rows {
            let factor = share[row * parts.count + i]
            for x in row * width..<(row + 1) * width { target[x] += factor * mixed[x] }
          }
        }
      }
    }
  }
}
