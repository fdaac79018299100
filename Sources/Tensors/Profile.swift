import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What operations do and how long they take, while somebody asks. Off, it costs each operation one load.
///
/// An operation is one that a model calls; what it is made of is not counted again. Operations that run side by side in a loop of
/// `ComputePool` have a thread each: of their time the share of one thread counts, so that all times together are at most the time that
/// passed.
public enum Profile {
  private static let isOn = Atomic<Bool>(false)
  private static let turn = Mutex<Void>(())
  private static let collected = Mutex(Collected())
  /// Set in a thread that is within an operation.
  private static let inside = threadVariable()

  private static func threadVariable() -> pthread_key_t {
    var key = pthread_key_t()
    let status = pthread_key_create(&key, nil)
    precondition(status == 0, "no memory for a thread's variable")
    return key
  }

  /// A kind of work on numbers of some shape.
  public struct Operation: Hashable, Sendable {
    public enum Kind: String, Sendable {
      case linear, convolution, depthwise, bottleneck, attention, norm, pointwise, copy, pack
      case feedForward = "feed_forward"
      /// The mask decoder's: what tokens see in a block of cells, what becomes of it, its pixels.
      case cellsSeen = "cells_seen"
      case cellsUpdated = "cells_updated"
      case pixels
    }

    public let kind: Kind
    /// Its lengths: of products rows, inner and outer ones.
    public let shape: [Int]
    /// How the operands are rounded or stored, where that differs.
    public let format: String
    /// Multiplications and additions of one call; 0 for what is bound by memory.
    public let flops: Int
    /// What one call reads and writes at least: each operand and result once, as it is stored.
    public let bytes: Int

    init(_ kind: Kind, _ shape: [Int], _ format: String = "fp32", flops: Int = 0, bytes: Int) {
      (self.kind, self.shape, self.format, self.flops, self.bytes) = (kind, shape, format, flops, bytes)
    }
  }

  /// All calls of an operation.
  public struct Total: Sendable {
    public internal(set) var calls = 0
    public internal(set) var seconds = 0.0
  }

  /// All calls of an operation in one layer.
  public struct Entry: Sendable {
    /// Where in the model, as its checkpoint names it: `blocks.2.attn`. Empty outside of all layers.
    public let layer: String
    public let operation: Operation
    public internal(set) var total: Total
  }

  /// Operations in the order in which layers were come to.
  private struct Collected {
    struct Key: Hashable {
      var layer: String
      var operation: Operation
    }

    var totals: [Key: Total] = [:]
    /// Each layer's place, in the order in which they were entered, which is the model's.
    var places: [String: Int] = ["": .max]

    mutating func enter(_ layer: String) { if places[layer] == nil { places[layer] = places.count } }
  }

  /// Runs `body` and tells what all threads did meanwhile, the longest first. One at a time in a process: who comes second waits.
  public static func collect<Failure: Error>(
    _ body: () throws(Failure) -> Void
  ) throws(Failure) -> [(operation: Operation, total: Total)] {
    merged(try collectEntries(body))
  }

  /// The same apart by layers, in the model's order, which is that in which layers were entered first. What was done outside of all
  /// layers comes last.
  public static func collectEntries<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> [Entry] {
    let found = try turn.withLock { (_) throws(Failure) -> Collected in
      collected.withLock { $0 = Collected() }
      isOn.store(true, ordering: .sequentiallyConsistent)
      defer { isOn.store(false, ordering: .sequentiallyConsistent) }
      try body()
      return collected.withLock { $0 }
    }
    func place(_ entry: Entry) -> Int { found.places[entry.layer] ?? .max }
    return found.totals.map { Entry(layer: $0.key.layer, operation: $0.key.operation, total: $0.value) }
      .sorted { (place($0), -$0.total.seconds) < (place($1), -$1.total.seconds) }
  }

  /// Each operation once, whatever the layer, the longest first.
  public static func merged(_ entries: [Entry]) -> [(operation: Operation, total: Total)] {
    entries.reduce(into: [Operation: Total]()) { totals, entry in
      totals[entry.operation, default: Total()].calls += entry.total.calls
      totals[entry.operation, default: Total()].seconds += entry.total.seconds
    }
    .map { (operation: $0.key, total: $0.value) }.sorted { $0.total.seconds > $1.total.seconds }
  }

  /// What `body` makes, as a part of the model whose name is `name` in the layer around it: `blocks.2`, and in that `attn`. Loops of
  /// `ComputePool` are in the layer that they were begun in, whatever thread they run on.
  @inline(__always)
  public static func layer<Result, Failure: Error>(
    _ name: @autoclosure () -> String, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard isOn.load(ordering: .relaxed) else { return try body() }
    let outer = Layer.current
    let layer = Layer(outer.map { "\($0.name).\(name())" } ?? name())
    collected.withLock { $0.enter(layer.name) }
    return try layer.run(body)
  }

  /// A part of the model that a thread is in.
  final class Layer: Sendable {
    let name: String

    init(_ name: String) { self.name = name }

    private static let key = threadVariable()

    /// The calling thread's; nil outside, and where nobody asks.
    static var current: Layer? {
      guard isOn.load(ordering: .relaxed), let place = pthread_getspecific(key) else { return nil }
      return Unmanaged<Layer>.fromOpaque(place).takeUnretainedValue()
    }

    /// Runs `body` in this layer, on the calling thread.
    func run<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
      let outer = pthread_getspecific(Self.key)
      pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
      defer {
        pthread_setspecific(Self.key, outer)
        withExtendedLifetime(self) {}
      }
      return try body()
    }
  }

  /// What `body` makes, as one operation.
  ///
  /// - Parameters:
  ///   - flops: multiplications and additions.
  ///   - numbers: how many float32 it reads and writes at least.
  public static func measure<Result>(
    _ kind: Operation.Kind, _ shape: [Int], flops: Int, numbers: Int, _ body: () -> Result
  ) -> Result {
    let span = begin(Operation(kind, shape, flops: flops, bytes: 4 * numbers))
    defer { end(span) }
    return body()
  }

  /// An operation that is under way.
  struct Span {
    let operation: Operation
    let start: ContinuousClock.Instant
  }

  /// Begins an operation, unless nobody asks or it is a part of another; to be passed to `end`.
  @inline(__always)
  static func begin(_ operation: @autoclosure () -> Operation) -> Span? {
    isOn.load(ordering: .relaxed) ? started(operation) : nil
  }

  @inline(__always)
  static func end(_ span: Span?) { if let span { finish(span) } }

  @inline(never)
  private static func started(_ operation: () -> Operation) -> Span? {
    guard pthread_getspecific(inside) == nil else { return nil }
    pthread_setspecific(inside, UnsafeRawPointer(bitPattern: 1))
    return Span(operation: operation(), start: .now)
  }

  @inline(never)
  private static func finish(_ span: Span) {
    let passed = span.start.duration(to: .now).components
    pthread_setspecific(inside, nil)
    let seconds = Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
    let share = ComputePool.isInside ? seconds / Double(ComputePool.threads) : seconds
    let key = Collected.Key(layer: Layer.current?.name ?? "", operation: span.operation)
    collected.withLock {
      $0.totals[key, default: Total()].calls += 1
      $0.totals[key, default: Total()].seconds += share
    }
  }
}

extension Profile.Operation {
  /// `rows` rows of `inner` numbers by a matrix.
  static func product(_ rows: Int, _ matrix: PackedMatrix, adds: Bool = false) -> Self {
    let (inner, columns) = (matrix.inner, matrix.columns)
    return .init(
      .linear, [rows, inner, columns], matrix.format + (adds ? " +=" : ""), flops: 2 * rows * inner * columns,
      bytes: 4 * rows * (inner + (adds ? 2 : 1) * columns) + matrix.byteCount)
  }

  /// The same by a matrix that takes so many bytes.
  static func product(_ rows: Int, _ inner: Int, _ columns: Int, _ format: String, bytes: Int) -> Self {
    .init(
      .linear, [rows, inner, columns], format, flops: 2 * rows * inner * columns,
      bytes: 4 * rows * (inner + columns) + bytes)
  }

  /// Two products, the second's result added to what is there.
  static func feedForward(_ rows: Int, _ widen: PackedMatrix, _ narrow: PackedMatrix) -> Self {
    .init(
      .feedForward, [rows, widen.inner, widen.columns], widen.format,
      flops: 2 * rows * (widen.inner * widen.columns + narrow.inner * narrow.columns),
      bytes: 4 * rows * (widen.inner + 2 * narrow.columns) + widen.byteCount + narrow.byteCount)
  }

  /// `[B, N, heads·d]`, `[B or 1, M, keyHeads·d]`, `[B or 1, M, keyHeads·e]`.
  static func attention(
    _ queries: Tensor, _ keys: Tensor, _ values: Tensor, heads: Int, keyHeads: Int, _ precision: Precision
  ) -> Self {
    let (batch, n, m) = (queries.shape[0], queries.shape[1], keys.shape[1])
    let (d, e) = (queries.shape[2] / heads, values.shape[2] / keyHeads)
    return .init(
      .attention, [batch, heads, n, m, d], precision.rawValue, flops: 2 * batch * heads * n * m * (d + e),
      bytes: 4 * (queries.count + keys.count + values.count + batch * heads * n * e))
  }

  /// Of new positions `[Σ rows, heads·d]` on what each of them sees.
  static func attention(_ queries: Tensor, _ sequences: [AttendingSequence], heads: Int) -> Self {
    var (pairs, positions) = (0, 0)
    for sequence in sequences {
      let before = (sequence.prefix?.count ?? 0) + sequence.own.count - sequence.rows
      pairs += sequence.rows * before + sequence.rows * (sequence.rows + 1) / 2
      positions += before + sequence.rows
    }
    let width = queries.shape[1]
    return .init(
      .attention, [sequences.count, heads, queries.shape[0], positions, width / heads], flops: 4 * pairs * width,
      bytes: 8 * (queries.count + positions * width))
  }

  /// A convolution of `x [H, W, C]` to `height` rows of `width`.
  static func convolution(_ x: Tensor, kernel: Int, _ height: Int, _ width: Int, _ weight: PackedMatrix) -> Self {
    .init(
      .convolution, x.shape + [kernel, weight.columns], weight.format,
      flops: 2 * height * width * weight.inner * weight.columns,
      bytes: 4 * (x.count + height * width * weight.columns) + weight.byteCount)
  }

  static func depthwise(_ x: Tensor, kernel: Int, _ height: Int, _ width: Int) -> Self {
    .init(
      .depthwise, x.shape + [kernel], flops: 2 * height * width * kernel * kernel * x.lastAxis,
      bytes: 4 * (x.count + height * width * x.lastAxis))
  }

  static func bottleneck(_ x: Tensor, _ weights: BottleneckWeights, _ height: Int, _ width: Int) -> Self {
    let (wide, outputs, cells) = (weights.widen.columns, weights.narrow.columns, height * width)
    let flops = 2 * (x.count * wide + cells * 9 * wide + cells * wide * outputs)
    return .init(
      .bottleneck, x.shape + [wide, outputs], weights.widen.format, flops: flops,
      bytes: 4 * (x.count + cells * outputs) + weights.widen.byteCount + weights.narrow.byteCount)
  }

  /// What reads and writes numbers of a shape so many times in all.
  static func moving(_ kind: Kind, _ shape: [Int], times: Int = 2) -> Self {
    .init(kind, shape, bytes: 4 * times * shape.reduce(1, *))
  }
}
