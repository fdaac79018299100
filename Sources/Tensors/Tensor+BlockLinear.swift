import CKernels

/// The integer kernels of this CPU; nil where floats are as fast.
nonisolated(unsafe) let blockKernels = ck_best_blocks()?.pointee

extension WeightFormat {
  /// As the integer kernels know it; nil for numbers without blocks.
  fileprivate var blocks: ck_block_format? {
    switch self {
    case .float32, .float16, .bfloat16: nil
    case .q8_0: CK_Q8_0
    case .q4_0: CK_Q4_0
    case .q4_K: CK_Q4_K
    case .q6_K: CK_Q6_K
    }
  }

  /// Whether integer kernels know it.
  var hasIntegerProducts: Bool { blocks != nil }
}

extension Tensor {
  /// A linear layer by a matrix of blocks, in integers: activations are rounded to 16 bits with a scale for each 32 of them
  /// (the algebra is in `ckblocks.h`).
  ///
  /// - Parameters:
  ///   - count: how many rows of activations there are.
  ///   - set: tests try others than this CPU's best.
  /// - Returns: `[count, weight.rows]`, or nil where this CPU or this format has no integer kernel.
  func blockLinear(_ weight: WeightMatrix, _ count: Int, set: ck_block_kernels? = blockKernels) -> Tensor? {
    guard let set, let format = weight.format.blocks else { return nil }
    let (rows, columns, rowBytes) = (weight.rows, weight.columns, weight.rowBytes)
    let activations = Activations(rows: count, length: columns, runLength: ck_run_length(format))
    defer { withExtendedLifetime(activations) {} }
    return withUnsafe { x in
      weight.withUnsafeBytes { base in
        Tensor([count, rows]) { out in
          guard count > 0, let x = x.baseAddress, let out = out.baseAddress else { return }
          let rounded = activations.view
          ComputePool.forEach(count, grain: max(1, (1 << 16) / columns)) { part in
            set.quantize(x, part.lowerBound, part.count, rounded)
          }
          // A panel is laid out anew for each product, which a few rows of activations do not pay for.
          let isFew = count < blockFewRows
          let height = isFew ? 1 : panelHeight
          let scratchBytes = isFew ? ck_row_scratch(columns) : ck_panel_scratch(columns)
          let panels = (rows + height - 1) / height
          ComputePool.forEach(panels, grain: max(1, (1 << 17) / (columns * height * count))) { part in
            let scratch = Buffer(uninitialized: scratchBytes / MemoryLayout<Float>.stride)
            for panel in part {
              let first = panel * height
              let blocks = base + first * rowBytes
              if isFew {
                set.row(format, blocks, rounded, out + first, rows, scratch.base)
              } else {
                set.panel(format, blocks, rowBytes, min(height, rows - first), rounded, out + first, rows, scratch.base)
              }
            }
          }
        }
      }
    }
  }
}

/// Fewer rows of activations than this go through the weights row by row.
private let blockFewRows = 4
private let panelHeight = Int(CK_PANEL)

/// The memory of rounded activations.
private final class Activations: @unchecked Sendable {
  private let buffer: Buffer
  let view: ck_activations

  init(rows: Int, length: Int, runLength: Int) {
    let wholes = length / 32 * rows
    let runs = length / runLength * rows
    // In floats, each array at a multiple of 64 bytes.
    let counts = [rows * length / 2, wholes, wholes, runs, runs].map { ($0 + 15) / 16 * 16 }
    buffer = Buffer(uninitialized: counts.reduce(0, +))
    var (arrays, next) = ([UnsafeMutablePointer<Float>](), buffer.base)
    for count in counts {
      arrays.append(next)
      next += count
    }
    view = ck_activations(
      rows: rows, length: length, run_length: runLength,
      bytes: UnsafeMutableRawPointer(arrays[0]).assumingMemoryBound(to: Int8.self), scales: arrays[1],
      row_scales: arrays[2], sums: arrays[3], row_sums: arrays[4])
  }
}
