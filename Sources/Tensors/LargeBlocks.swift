import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Large memory that was let go of, kept for the next who wants as much: an encoder makes tensors of a few sizes over and
/// over, and the kernel would clear each of their pages every time.
public enum LargeBlocks {
  #if ADDRESS_SANITIZER
    /// The sanitizer sees past the ends, and uses after the end, of what malloc gives alone.
    static let least = Int.max
  #else
    /// What malloc would map anew too, or cut off its heap's end again and again.
    static let least = 1 << 17
  #endif
  /// What is kept unused, in bytes, at most. Any of it goes first: models want the same sizes in the same order again and again, and
  /// what has been unused for longest would be what is wanted next.
  private static let limit = 152 << 20
  private static let hugePage = 2 << 20

  private struct Block {
    let bytes: Int
    let address: UInt
    /// Whether it lay here already when idle ones were last given back.
    var isIdle = false

    func unmap() { munmap(UnsafeMutableRawPointer(bitPattern: address), bytes) }
  }

  private static let kept = Mutex<[Block]>([])

  /// So that an encoder's tensors, which are of about the same size, share their blocks; a page that is never written takes no
  /// memory. Smaller ones are mostly weights, which stay.
  private static func rounded(_ bytes: Int) -> Int {
    (1 << 23...1 << 40).contains(bytes) ? 1 << (Int.bitWidth - (bytes - 1).leadingZeroBitCount) : bytes
  }

  /// Memory that begins at a page, not set to anything; nil where there is none.
  static func take(_ wanted: Int) -> UnsafeMutableRawPointer? {
    let bytes = rounded(wanted)
    let found = kept.withLock { kept -> UInt? in
      kept.lastIndex { $0.bytes == bytes }.map { kept.remove(at: $0).address }
    }
    if let found { return UnsafeMutableRawPointer(bitPattern: found) }
    // Not from malloc, whose heap would grow holes of these sizes.
    let pointer = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let pointer, pointer != MAP_FAILED else { return nil }
    #if canImport(Glibc)
      // Not of the last pages, of which much would be left over.
      madvise(pointer, wanted & ~(hugePage - 1), MADV_HUGEPAGE)
    #endif
    return pointer
  }

  static func give(_ pointer: UnsafeMutableRawPointer, _ wanted: Int) {
    let bytes = rounded(wanted)
    let gone = kept.withLock { kept -> [Block] in
      kept.append(Block(bytes: bytes, address: UInt(bitPattern: pointer)))
      var total = kept.reduce(0) { $0 + $1.bytes }
      var gone: [Block] = []
      while total > limit, let one = kept.indices.randomElement() {
        gone.append(kept.remove(at: one))
        total -= gone[gone.count - 1].bytes
      }
      return gone
    }
    for block in gone { block.unmap() }
  }

  /// Gives the system back what nobody has wanted since this was called before.
  public static func giveIdleBack() {
    let gone = kept.withLock { kept -> [Block] in
      let idle = kept.filter(\.isIdle)
      kept.removeAll(where: \.isIdle)
      for i in kept.indices { kept[i].isIdle = true }
      return idle
    }
    for block in gone { block.unmap() }
  }
}
