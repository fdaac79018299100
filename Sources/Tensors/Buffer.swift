#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Owned float32 memory, aligned to a cache line (which is also the widest vector register).
struct Buffer: ~Copyable {
  let base: UnsafeMutablePointer<Float>
  let count: Int

  private static func byteCount(_ count: Int) -> Int { max(count, 1) * MemoryLayout<Float>.stride }

  /// Memory for `count` numbers, not set to anything.
  init(uninitialized count: Int) {
    let bytes = Self.byteCount(count)
    var pointer: UnsafeMutableRawPointer?
    if bytes >= LargeBlocks.least {
      pointer = LargeBlocks.take(bytes)
    } else if posix_memalign(&pointer, 64, bytes) != 0 {
      pointer = nil
    }
    guard let pointer else { fatalError("out of memory: \(count) float32 values") }
    base = pointer.bindMemory(to: Float.self, capacity: max(count, 1))
    self.count = count
  }

  /// Memory for so many bytes.
  init(bytes: Int) { self.init(uninitialized: (bytes + 3) / MemoryLayout<Float>.size) }

  var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(base) }

  deinit {
    let bytes = Self.byteCount(count)
    if bytes >= LargeBlocks.least { LargeBlocks.give(base, bytes) } else { free(base) }
  }
}

/// Memory that can be let go of, and comes back as it was when it is read: a mapped file's.
public protocol Refillable: AnyObject, Sendable {
  func letGo(_ range: UnsafeRawBufferPointer)
}

/// What a tensor's numbers lie in: memory of its own, or a window of somebody else's (a mapped checkpoint), which `owner`
/// keeps alive. Immutable once a second tensor shares it: `Tensor` copies before it writes.
final class Storage: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let count: Int
  let isBorrowed: Bool
  /// Whose memory it is, where that can be let go of.
  let refillable: (any Refillable)?
  private let release: @Sendable () -> Void

  init(_ buffer: consuming Buffer) {
    base = buffer.base
    count = buffer.count
    isBorrowed = false
    refillable = nil
    let box = BufferBox(buffer)
    release = { _ = box }
  }

  init(borrowing pointer: UnsafePointer<Float>, count: Int, owner: any AnyObject & Sendable) {
    base = UnsafeMutablePointer(mutating: pointer)
    self.count = count
    isBorrowed = true
    refillable = owner as? any Refillable
    release = { _ = owner }
  }
}

/// A reference to a noncopyable buffer.
private final class BufferBox: @unchecked Sendable {
  let buffer: Buffer
  init(_ buffer: consuming Buffer) { self.buffer = buffer }
}
