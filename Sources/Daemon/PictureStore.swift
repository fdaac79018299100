import Imaging
import Synchronization

/// The pictures used last, by handle, within bounds of number and memory. What the models have seen in a picture is let go
/// of before the picture itself: it can be seen again, whereas a picture that is gone must be sent again.
public final class PictureStore: Sendable {
  private let capacity: Int
  private let byteCapacity: Int
  /// The one used last comes last.
  private let pictures = Mutex<[Picture]>([])
  private let counts = Mutex<PrefixCounts>(PrefixCounts())

  /// What the language model's work on pictures came to.
  struct PrefixCounts: Equatable {
    /// How often it was done, and how often it was there already.
    var computed = 0
    var reused = 0
    /// How often it was let go of for want of memory.
    var evicted = 0
  }

  /// - Parameter bytes: of pixels and what was seen in them together. The picture used last is held even if it alone is larger.
  public init(capacity: Int = 64, bytes: Int = 1 << 30) {
    precondition(capacity > 0)
    (self.capacity, byteCapacity) = (capacity, bytes)
  }

  func find(_ handle: String) -> Picture? {
    pictures.withLock { pictures in
      guard let index = pictures.firstIndex(where: { $0.handle == handle }) else { return nil }
      let picture = pictures.remove(at: index)
      pictures.append(picture)
      return picture
    }
  }

  /// Holds a picture, or finds the one held already with these pixels.
  ///
  /// - Parameter isFrame: whether it is a camera's. Those go first where there is no room, since others follow.
  func add(_ image: Image, isFrame: Bool = false) -> Picture {
    let handle = Picture.handle(of: image)
    guard let known = find(handle) else { return hold(Picture(image, handle: handle, isFrame: isFrame)) }
    if !isFrame { known.keep() }
    return known
  }

  /// Holds a camera's picture no more, unless a client knows it too.
  func letGo(_ handle: String) { pictures.withLock { $0.removeAll { $0.handle == handle && $0.isFrame } } }

  func hold(_ picture: Picture) -> Picture {
    pictures.withLock { $0.append(picture) }
    trim()
    return picture
  }

  /// Lets go of what was not used for longest, cameras' first, until the rest fits.
  func trim() {
    pictures.withLock { pictures in
      var evicted = 0
      var bytes = pictures.reduce(0) { $0 + $1.byteCount }
      let others = pictures.dropLast()
      for picture in others.filter(\.isFrame) + others.filter({ !$0.isFrame }) where bytes > byteCapacity {
        for kind in [Picture.Kind.prefix, .features, .embedding] where bytes > byteCapacity && picture.holds(kind) {
          bytes -= picture.byteCount(of: kind)
          picture.forget(kind)
          if kind == .prefix { evicted += 1 }
        }
      }
      while pictures.count > 1, pictures.count > capacity || bytes > byteCapacity {
        let gone = pictures.remove(at: pictures.dropLast().firstIndex(where: \.isFrame) ?? 0)
        if gone.holds(.prefix) { evicted += 1 }
        bytes -= gone.byteCount
      }
      if evicted > 0 { counts.withLock { $0.evicted += evicted } }
    }
  }

  /// Keeps the pictures alone.
  func forgetWhatWasSeen() { pictures.withLock { for picture in $0 { picture.forgetEverything() } } }

  func countPrefix(isNew: Bool) { counts.withLock { if isNew { $0.computed += 1 } else { $0.reused += 1 } } }

  /// What there is of the language model's work on pictures: how many are held, their bytes, and what was counted.
  var prefixes: (held: Int, bytes: Int, counts: PrefixCounts) {
    let held = pictures.withLock { $0.filter { $0.holds(.prefix) }.map { $0.byteCount(of: .prefix) } }
    return (held.count, held.reduce(0, +), counts.withLock { $0 })
  }

  /// How many pictures are held, and their memory in bytes.
  var usage: (count: Int, bytes: Int) {
    pictures.withLock { pictures in (pictures.count, pictures.reduce(0) { $0 + $1.byteCount }) }
  }
}
