import CKernels

/// Matrices `[K, N]` in panels, as fp32's tiles read their right operand and write their sums: panel after panel `[K, width]`. What
/// a product leaves in a panel is the next one's operand as it stands.
public final class Panels: @unchecked Sendable {
  /// The columns of a panel: those of this CPU's tiles.
  public static let width = Int(Precision.fp32.tiles.columns)

  /// How many panels there are.
  public let count: Int
  /// K
  public let rows: Int
  private let memory: Buffer

  /// Panels to be written. `Strips` may write some rows more than they have: behind the last one there is room for that.
  public init(count: Int, rows: Int) {
    (self.count, self.rows) = (count, rows)
    memory = Buffer(uninitialized: (count * rows + Strips.slack) * Self.width)
  }

  /// `x [N, K]` transposed, a column for each of its rows; those that are missing in the last panel are 0.
  public convenience init(transposing x: Tensor) {
    let rows = x.shape[1]
    self.init(x, columns: x.shape[0], rows: rows) { base, first, count, panel in
      Precision.fp32.tiles.pack_panel_rows(base + first * rows, rows, count, rows, panel)
    }
  }

  /// `x [K, N]` as it is.
  public convenience init(_ x: Tensor) {
    let (rows, columns) = (x.shape[0], x.shape[1])
    self.init(x, columns: columns, rows: rows) { base, first, count, panel in
      Precision.fp32.tiles.pack_panel_columns(base + first, columns, count, rows, panel)
    }
  }

  /// - Parameter pack: writes `count` columns from `first` on into a panel.
  private convenience init(
    _ x: Tensor, columns: Int, rows: Int,
    _ pack: (_ base: UnsafePointer<Float>, _ first: Int, _ count: Int, _ panel: UnsafeMutablePointer<Float>) -> Void
  ) {
    self.init(count: (columns + Self.width - 1) / Self.width, rows: rows)
    x.withUnsafe { x in
      guard let base = x.baseAddress else { return }
      for panel in 0..<count {
        let first = panel * Self.width
        pack(base, first, min(Self.width, columns - first), self[panel])
      }
    }
  }

  /// One panel, `[K, width]`. It lives as long as this does.
  public subscript(panel: Int) -> UnsafeMutablePointer<Float> { memory.base + panel * rows * Self.width }

  /// How many numbers this holds.
  public var numbers: Int { memory.count }
}

/// The left operand of products with panels, packed once in strips as fp32's tiles read it: `[M, K]`, or for each head of an attention
/// `[T, e]`, which multiplies that head's e rows of a panel `[heads·e, width]`.
public struct Strips: Sendable {
  /// How many rows a product may write beyond its own: a tile is as high as it is. They get 0, or 0 is added to them.
  public static let slack = Int(Precision.fp32.tiles.rows)

  /// M, or heads·T.
  public let rows: Int
  private let parts: [Part]
  private let memory: Memory
  private let kernel: Kernel

  private typealias Kernel =
    @convention(c) (
      Int, UnsafeRawPointer?, UnsafeRawPointer?, Int, UnsafeMutablePointer<Float>?, Int, Int32
    ) -> Void

  /// Some rows that are one tile high.
  private struct Part: @unchecked Sendable {
    /// The first of them, and how many there are.
    let row: Int
    let count: Int
    /// Which rows of a panel they are multiplied with: those from `first` on.
    let first: Int
    let inner: Int
    var strip = UnsafeMutableRawPointer(bitPattern: 64)
    /// How high the tile is.
    var padded = 0
  }

  private final class Memory: @unchecked Sendable {
    let buffer: Buffer
    init(_ buffer: consuming Buffer) { self.buffer = buffer }
  }

  /// `[M, K]`
  public init(_ a: Tensor) { self.init(a, .fp32) }

  /// `[M, K]` for panels of a precision.
  init(_ a: Tensor, _ precision: Precision) {
    let (width, height) = (a.shape[1], Int(precision.tiles.rows))
    let parts = Self.tiles(a.shape[0], height).map {
      Part(row: $0.lowerBound, count: $0.count, first: 0, inner: width)
    }
    self.init(a, parts, precision)
  }

  /// `[heads, T, e]`
  public init(heads a: Tensor) {
    let (heads, terms, width) = (a.shape[0], a.shape[1], a.shape[2])
    // In this order, since a head's product may write a zero into the next one's first rows.
    let parts = (0..<heads).flatMap { head in
      Self.tiles(terms).map {
        Part(row: head * terms + $0.lowerBound, count: $0.count, first: head * width, inner: width)
      }
    }
    self.init(a.reshaped([heads * terms, width]), parts)
  }

  /// The quadratic form `zᵀ G z = Σᵢ zᵢ (Ĝ z)ᵢ` of a symmetric G `[M, M]`: the lower triangle counts twice, so that the upper one
  /// need not be multiplied.
  public init(quadratic g: Tensor) {
    let side = g.shape[0]
    var triangle = g
    triangle.withUnsafeMutable { all in
      for i in 0..<side {
        for j in 0..<i { all[i * side + j] *= 2 }
        for j in i + 1..<max(side, i + 1) { all[i * side + j] = 0 }
      }
    }
    self.init(
      triangle, Self.tiles(side).map { Part(row: $0.lowerBound, count: $0.count, first: 0, inner: $0.upperBound) })
  }

  private static func tiles(_ rows: Int, _ height: Int = slack) -> [Range<Int>] {
    stride(from: 0, to: rows, by: height).map { $0..<min($0 + height, rows) }
  }

  private init(_ a: Tensor, _ parts: [Part], _ precision: Precision = .fp32) {
    let (tiles, width) = (precision.tiles, a.shape[1])
    let bytes = parts.map { Int(tiles.strip_bytes(tiles.strip_rows($0.count), $0.inner)) }
    let buffer = Buffer(bytes: bytes.reduce(0, +))
    let spare = Buffer(uninitialized: Int(tiles.rows) * width)
    var (placed, offset) = (parts, 0)
    a.withUnsafe { a in
      guard let a = a.baseAddress else { return }
      for (i, part) in parts.enumerated() {
        let padded = Int(tiles.strip_rows(part.count))
        spare.base.update(from: a + part.row * width, count: part.count * width)
        (spare.base + part.count * width).update(repeating: 0, count: (padded - part.count) * width)
        tiles.pack_strip(spare.base, width, padded, padded, part.inner, buffer.bytes + offset)
        placed[i].strip = buffer.bytes + offset
        placed[i].padded = padded
        offset += bytes[i]
      }
    }
    (rows, self.parts, memory, kernel) = (a.shape[0], placed, Memory(buffer), tiles.multiply)
  }

  /// `c (+)= A · panel`.
  ///
  /// - Parameters:
  ///   - panel: `[K, width]`, or `[heads·e, width]`.
  ///   - c: `[M, width]`, rows `stride` apart.
  public func multiply(
    _ panel: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>, stride: Int = Panels.width, adds: Bool
  ) {
    let width = Panels.width
    parts.withUnsafeBufferPointer { parts in
      for part in parts {
        kernel(
          part.padded, part.strip, panel + part.first * width, part.inner, c + part.row * stride, stride, adds ? 1 : 0)
      }
    }
    withExtendedLifetime(memory) {}
  }
}
