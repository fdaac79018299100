import Checkpoints
import Layers
import Tensors

/// Two transposed convolutions, each of which doubles the grid, with a LayerNorm and a GELU between them. Source:
/// `mask_decoder.py`, `self.output_upscaling` without its last GELU; `mask_decoder_hq.py` has three of the kind.
/// EfficientSAM's has a GroupNorm instead: `efficient_sam_decoder.py`, `self.final_output_upscaling_layers`.
struct Upscaling: Sendable {
  let first: ConvTranspose2d
  let norm: Norm
  let second: ConvTranspose2d

  var outputs: Int { second.outputs }

  /// Over the channels of each cell, or over the whole map.
  enum Norm: Sendable {
    case channels(LayerNorm)
    case map(GroupNorm)
  }

  /// SAM's: `0`, `1`, `3`.
  init(_ scope: WeightScope, inputs: Int, outputs: Int = -1) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0], inputs: inputs)
    norm = .channels(try LayerNorm(scope[1], channels: first.outputs, epsilon: 1e-6))
    second = try ConvTranspose2d(scope[3], inputs: first.outputs, outputs: outputs)
  }

  /// EfficientSAM's: `0.0`, `0.1`, `1.0`.
  init(efficient scope: WeightScope, inputs: Int) throws(CheckpointError) {
    first = try ConvTranspose2d(scope[0][0], inputs: inputs)
    norm = .map(try GroupNorm(scope[0][1], channels: first.outputs))
    second = try ConvTranspose2d(scope[1][0], inputs: first.outputs)
  }

  /// `[h, w, in]` → `[4h, 4w, out]`.
  func callAsFunction(_ x: Tensor) -> Tensor { rest(first(x)) }

  /// What follows the first convolution: `[2h, 2w, C₁]` → `[4h, 4w, out]`.
  func rest(_ x: Tensor) -> Tensor {
    var x =
      switch norm {
      case .channels(let norm): norm(x)
      case .map(let norm): norm(x)
      }
    x.gelu()
    return second(x)
  }
}

/// The first convolution of one prompt's cells, panel by panel: in each column a cell's four pixels, `[4·C₁, width]`.
struct UpscaledCells {
  private let image: ImageSide
  private let source: Source
  /// β and the bias, as they come out of the convolution. `[4·C₁]`
  private let offsets: [Float]
  /// 4·C₁
  let rows: Int
  /// J, or 0 where the convolution is done.
  let inner: Int

  private enum Source {
    /// `R · weight` of the prompt, transposed: `[4·C₁, J]`.
    case inBasis([CellState], Strips)
    case plain([Panels])
  }

  /// - Parameter beta: of the cells' last norm, `[C]`.
  init(_ cells: TwoWayTransformer.Cells, _ image: ImageSide, _ convolution: ConvTranspose2d, beta: Tensor) {
    rows = 4 * convolution.outputs
    let bias = convolution.bias.reshaped([1, -1])
    var offsets = Tensor.concatenated([bias, bias, bias, bias]).reshaped([1, -1])
    switch cells {
    case .inBasis(let states, let basis):
      // Too little to share between threads.
      source = ComputePool.alone {
        offsets.add(beta.reshaped([1, -1]).multiplied(by: convolution.weight))
        return .inBasis(states, Strips(basis.multiplied(by: convolution.weight).transposed()))
      }
      inner = basis.shape[0]
    case .plain(let blocks):
      let weight = PackedMatrix(convolution.weight, .fp32)
      source = .plain(blocks.map { Panels(transposing: $0.multiplied(by: weight)) })
      inner = 0
    }
    (self.image, self.offsets) = (image, offsets.values)
  }

  /// Writes one panel of a block, `[4·C₁, width]`, and up to `Strips.slack` rows more.
  func write(block: Int, panel: Int, to pixels: UnsafeMutablePointer<Float>) {
    switch source {
    case .inBasis(let states, let strips):
      strips.multiply(states[block].coefficients[panel], into: pixels, adds: false)
      Columns.add(
        image.blocks[block].upscaled[panel], to: pixels, rows: rows, scaledBy: states[block].scale[panel],
        plus: offsets)
    case .plain(let blocks):
      pixels.update(from: blocks[block][panel], count: rows * Panels.width)
      for row in 0..<rows {
        for i in row * Panels.width..<(row + 1) * Panels.width { pixels[i] += offsets[row] }
      }
    }
  }

  /// All of them as a map, `[2h, 2w, C₁]`.
  func map(gridSize: Int) -> Tensor {
    let (side, channels, w) = (2 * gridSize, rows / 4, Panels.width)
    return Tensor([side, side, channels]) { map in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: (rows + Strips.slack) * w) { pixels in
        guard let base = pixels.baseAddress else { return }
        var first = 0
        for (i, block) in image.blocks.enumerated() {
          for panel in 0..<block.upscaled.count {
            write(block: i, panel: panel, to: base)
            for column in 0..<min(w, block.cells - panel * w) {
              let cell = first + panel * w + column
              for place in 0..<4 {
                let (y, x) = (2 * (cell / gridSize) + place / 2, 2 * (cell % gridSize) + place % 2)
                for channel in 0..<channels {
                  map[(y * side + x) * channels + channel] = base[(place * channels + channel) * w + column]
                }
              }
            }
          }
          first += block.cells
        }
      }
    }
  }
}

/// `Upscaling.rest` followed by a GELU and the product with masks' filters, a panel of cells at a time, so that no upscaled map is ever
/// stored. A LayerNorm of channels allows that, and so do convolutions whose outputs do not overlap.
struct BlockUpscaling: Sendable {
  private let norm: (weight: [Float], bias: [Float], epsilon: Float)
  /// `[4·out, C₁]`
  private let second: Strips
  /// `[4·out]`
  private let secondBias: [Float]
  private let outputs: Int

  /// Nil for a norm over the whole map.
  init?(_ upscaling: Upscaling) {
    guard case .channels(let norm) = upscaling.norm else { return nil }
    self.norm = (norm.weight.values, norm.bias.values, norm.epsilon)
    second = Strips(upscaling.second.weight.transposed())
    secondBias = (0..<4).flatMap { _ in upscaling.second.bias.values }
    outputs = upscaling.outputs
  }

  /// Writes the logits of one block's pixels.
  ///
  /// - Parameters:
  ///   - filters: `[M, out]`.
  ///   - cells: which of the grid's these are.
  ///   - logits: `[M, 4·grid, 4·grid]`.
  func write(
    _ pixels: UpscaledCells, block: Int, cells: Range<Int>, filters: Strips, grid: Int,
    to logits: UnsafeMutablePointer<Float>
  ) {
    let perCell = pixels.rows * (pixels.inner + 4 * outputs) + 16 * outputs * filters.rows
    Profile.measure(
      .pixels, [cells.count, pixels.inner, pixels.rows, filters.rows], flops: 2 * cells.count * perCell,
      numbers: cells.count * (pixels.rows + pixels.inner + 16 * filters.rows)
    ) { draw(pixels, block: block, cells: cells, filters: filters, grid: grid, to: logits) }
  }

  private func draw(
    _ pixels: UpscaledCells, block: Int, cells: Range<Int>, filters: Strips, grid: Int,
    to logits: UnsafeMutablePointer<Float>
  ) {
    let w = Panels.width
    let (channels, fineRows, room) = (pixels.rows / 4, 4 * outputs, (filters.rows + Strips.slack) * w)
    let coarseCount = (pixels.rows + Strips.slack) * w
    let fineCount = (fineRows + Strips.slack) * w
    withUnsafeTemporaryAllocation(of: Float.self, capacity: coarseCount + fineCount + 16 * room) { memory in
      guard let coarse = memory.baseAddress else { return }
      let fine = coarse + coarseCount
      let masks = fine + fineCount  // [a pixel's place in the cell, a finer one's in the pixel, M, width]
      for (panel, first) in stride(from: cells.lowerBound, to: cells.upperBound, by: w).enumerated() {
        pixels.write(block: block, panel: panel, to: coarse)
        for place in 0..<4 {
          let pixel = coarse + place * channels * w
          Columns.layerNorm(
            pixel, rows: channels, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon)
          Columns.gelu(pixel, rows: channels)
          second.multiply(pixel, into: fine, adds: false)
          Columns.gelu(fine, rows: fineRows, plus: secondBias)
          for finer in 0..<4 {
            filters.multiply(fine + finer * outputs * w, into: masks + (4 * place + finer) * room, adds: false)
          }
        }
        spread(masks, room, filters.rows, first..<min(first + w, cells.upperBound), grid, to: logits)
      }
    }
  }

  /// Brings the masks of a panel's finer pixels to their places in the grid.
  private func spread(
    _ masks: UnsafePointer<Float>, _ room: Int, _ count: Int, _ cells: Range<Int>, _ grid: Int,
    to logits: UnsafeMutablePointer<Float>
  ) {
    let (w, side) = (Panels.width, 4 * grid)
    var cell = cells.lowerBound
    while cell < cells.upperBound {
      let (row, column) = (cell / grid, cell % grid)
      let run = min(grid - column, cells.upperBound - cell)
      for mask in 0..<count {
        let from = masks + mask * w + cell - cells.lowerBound
        for y in 0..<4 {
          // Of places and finer places the upper bit is down, the lower one right.
          let (upper, lower) = (2 * (y / 2), 2 * (y % 2))
          func source(_ x: Int) -> UnsafePointer<Float> { from + (4 * (upper + x / 2) + lower + x % 2) * room }
          Columns.interleave(
            source(0), source(1), source(2), source(3), count: run,
            into: logits + (mask * side + 4 * row + y) * side + 4 * column)
        }
      }
      cell += run
    }
  }
}
