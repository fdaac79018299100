import CKernels

/// The right operand of products, `[inner, columns]`, packed as the tiles of a precision read it.
///
/// `inner` is cut into stretches, so that a panel of one stretch fits into the second cache beside some strips; within a stretch
/// lies panel after panel.
public final class PackedMatrix: @unchecked Sendable {
  public let inner: Int
  public let columns: Int
  let tiles: ck_tiles
  /// The numbers of a stretch; the last one may have fewer.
  let stretch: Int
  private let panels: Int
  private let panelBytes: Int
  private let memory: Buffer

  private static let panelLimit = 1 << 17

  /// - Parameters:
  ///   - b: `[inner, columns]` or, transposed, `[columns, inner]`, rows `stride` apart.
  ///   - tiles: tests try others than the precision's best.
  init(
    _ b: UnsafePointer<Float>, stride: Int, transposed: Bool, inner: Int, columns: Int, _ tiles: ck_tiles
  ) {
    precondition(inner > 0 && columns > 0)
    let parts = (Int(tiles.panel_bytes(inner)) + Self.panelLimit - 1) / Self.panelLimit
    let stretch = parts == 1 ? inner : (inner / parts + 63) / 64 * 64
    let width = Int(tiles.columns)
    let (panels, panelBytes) = ((columns + width - 1) / width, Int(tiles.panel_bytes(stretch)))
    let stretches = (inner + stretch - 1) / stretch
    let memory = Buffer(bytes: stretches * panels * panelBytes)
    let base = memory.bytes
    ComputePool.forEach(stretches * panels, grain: max(1, (1 << 15) / (width * stretch))) { part in
      for job in part {
        let (first, column) = (job / panels * stretch, job % panels * width)
        let (length, count) = (min(stretch, inner - first), min(width, columns - column))
        if transposed {
          tiles.pack_panel_rows(b + column * stride + first, stride, count, length, base + job * panelBytes)
        } else {
          tiles.pack_panel_columns(b + first * stride + column, stride, count, length, base + job * panelBytes)
        }
      }
    }
    (self.inner, self.columns, self.tiles, self.stretch) = (inner, columns, tiles, stretch)
    (self.panels, self.panelBytes) = (panels, panelBytes)
    self.memory = memory
  }

  /// A linear layer's weight, `[out, in]` as checkpoints store it: the operand is its transpose.
  public convenience init(transposing weight: Tensor, _ precision: Precision) {
    let (columns, inner) = (weight.shape[0], weight.count / weight.shape[0])
    self.init(weight, transposed: true, inner: inner, columns: columns, precision)
  }

  /// A matrix `[inner, columns]`, and what can be seen as one: all axes but the last together.
  public convenience init(_ matrix: Tensor, _ precision: Precision) {
    self.init(matrix, transposed: false, inner: matrix.count / matrix.lastAxis, columns: matrix.lastAxis, precision)
  }

  private convenience init(
    _ tensor: Tensor, transposed: Bool, inner: Int, columns: Int, _ precision: Precision
  ) {
    let span = Profile.begin(.moving(.pack, [inner, columns]))
    defer { Profile.end(span) }
    // An initialiser cannot be called in a closure.
    var pointer: UnsafePointer<Float>?
    tensor.withUnsafe { pointer = $0.baseAddress }
    guard let pointer else { preconditionFailure("a matrix without numbers") }
    defer { withExtendedLifetime(tensor) {} }
    self.init(
      pointer, stride: transposed ? inner : columns, transposed: transposed, inner: inner, columns: columns,
      precision.tiles)
  }

  /// Its memory.
  var byteCount: Int { 4 * memory.count }

  /// The precision whose tiles it is for.
  var format: String {
    func address(_ tiles: ck_tiles) -> Int { unsafeBitCast(tiles.multiply, to: Int.self) }
    return Precision.allCases.first { address($0.tiles) == address(tiles) }?.rawValue ?? "fp32"
  }

  /// The panel of some columns, in the stretch that begins at `first`.
  func panel(_ index: Int, from first: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(memory.bytes) + (first / stretch * panels + index) * panelBytes
  }
}
