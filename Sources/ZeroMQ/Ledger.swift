import CZeroMQ
import Foundation
import Synchronization

/// The bytes of messages that were sent and that the library still holds, because their receiver does not read; each frame with what
/// it takes beside them.
///
/// The library bounds messages by number only. It tells when it lets go of a frame, be it that the kernel took it or that the
/// connection ended; from any of its threads.
public final class Ledger: Sendable {
  private let held = Atomic<Int>(0)
  private let parent: Ledger?

  /// - Parameter parent: counts the same bytes, with those of others.
  public init(parent: Ledger? = nil) { self.parent = parent }

  /// What the library and this room take beside a frame's bytes, about.
  public static let frameBytes = 256

  public var bytes: Int { held.load(ordering: .relaxed) }

  func add(_ bytes: Int) {
    held.add(bytes, ordering: .relaxed)
    parent?.add(bytes)
  }

  func subtract(_ bytes: Int) {
    held.subtract(bytes, ordering: .relaxed)
    parent?.subtract(bytes)
  }
}

extension Message {
  /// A frame with a copy of the bytes that stands in the ledger, if there is one, until the library lets go of it, or nil where
  /// there is no memory for it.
  init?(_ bytes: [UInt8], ledger: Ledger?) {
    guard let ledger else {
      self.init(bytes)
      return
    }
    guard let copy = malloc(max(1, bytes.count)) else { return nil }
    bytes.withUnsafeBytes { source in
      if let base = source.baseAddress { copy.copyMemory(from: base, byteCount: source.count) }
    }
    let entry = Unmanaged.passRetained(Entry(ledger, bytes.count + Ledger.frameBytes))
    self.init(owning: copy, count: bytes.count, hint: entry.toOpaque()) { data, hint in
      free(data)
      if let hint { Unmanaged<Entry>.fromOpaque(hint).release() }
    }
  }

  /// One frame in a ledger, until it is let go of.
  private final class Entry {
    private let ledger: Ledger
    private let bytes: Int

    init(_ ledger: Ledger, _ bytes: Int) {
      (self.ledger, self.bytes) = (ledger, bytes)
      ledger.add(bytes)
    }

    deinit { ledger.subtract(bytes) }
  }
}
