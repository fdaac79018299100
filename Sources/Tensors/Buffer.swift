#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Owned float32 memory, aligned to a cache line (which is also the widest vector register).
struct Buffer: ~Copyable {
  let base: UnsafeMutablePointer<Float>
  let count: Int
  private static let hugePage = 1 << 21

  /// Memory for `count` numbers, not set to anything.
  init(uninitialized count: Int) {
    let bytes = max(count, 1) * MemoryLayout<Float>.stride
    // Large memory in large pages: what a picture's tensors take is new each time, and each page of 4 KiB is a fault.
    let isLarge = bytes >= 2 * Self.hugePage
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, isLarge ? Self.hugePage : 64, bytes)
    guard status == 0, let pointer else {
      fatalError("out of memory: \(count) float32 values")
    }
    #if canImport(Glibc)
      if isLarge { madvise(pointer, bytes / Self.hugePage * Self.hugePage, MADV_HUGEPAGE) }
    #endif
    base = pointer.bindMemory(to: Float.self, capacity: max(count, 1))
    self.count = count
  }

  /// Memory for so many bytes.
  init(bytes: Int) { self.init(uninitialized: (bytes + 3) / MemoryLayout<Float>.size) }

  var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(base) }

  deinit { free(base) }
}

/// What a tensor's numbers lie in: memory of its own, or a window of somebody else's (a mapped checkpoint), which `owner`
/// keeps alive. Immutable once a second tensor shares it: `Tensor` copies before it writes.
final class Storage: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let count: Int
  let isBorrowed: Bool
  private let release: @Sendable () -> Void

  init(_ buffer: consuming Buffer) {
    base = buffer.base
    count = buffer.count
    isBorrowed = false
    let box = BufferBox(buffer)
    release = { _ = box }
  }

  init(borrowing pointer: UnsafePointer<Float>, count: Int, owner: any AnyObject & Sendable) {
    base = UnsafeMutablePointer(mutating: pointer)
    self.count = count
    isBorrowed = true
    release = { _ = owner }
  }
}

/// A reference to a noncopyable buffer.
private final class BufferBox: @unchecked Sendable {
  let buffer: Buffer
  init(_ buffer: consuming Buffer) { self.buffer = buffer }
}
