import Imaging
import Synchronization

/// A picture with what the models have seen in it so far.
public final class Picture: Sendable {
  /// `sha256:` and the digest of size and pixels.
  public let handle: String
  public let image: Image
  private let seen = Mutex<Seen>(Seen())

  /// One kind of memory for each model and stage.
  enum Kind: Hashable { case embedding, features, prefix }

  private struct Seen { var held: [Kind: any Held] = [:] }

  init(_ image: Image, handle: String? = nil) {
    self.image = image
    self.handle = handle ?? Self.handle(of: image)
  }

  /// The name of an image by its pixels: the digest of `width`×`height`, a newline, and the RGB bytes.
  static func handle(of image: Image) -> String {
    var hash = SHA256()
    hash.update(Array("\(image.width)x\(image.height)\n".utf8))
    hash.update(image.pixels)
    return "sha256:\(hash.hexadecimal())"
  }

  /// What is remembered of a kind, made now if there is none. Two threads that ask at once may both make it.
  func remember(_ kind: Kind, _ make: () throws -> any Held) throws -> any Held {
    if let held = seen.withLock({ $0.held[kind] }) { return held }
    let made = try make()
    seen.withLock { $0.held[kind] = made }
    return made
  }

  func forget(_ kind: Kind) { seen.withLock { $0.held[kind] = nil } }

  func holds(_ kind: Kind) -> Bool { seen.withLock { $0.held[kind] != nil } }

  /// The memory of the pixels and all that is remembered, in bytes.
  var byteCount: Int { image.pixels.count + seen.withLock { $0.held.values.reduce(0) { $0 + $1.byteCount } } }
}

/// The pictures used last, by handle, within bounds of number and memory.
public final class PictureStore: Sendable {
  private let capacity: Int
  private let byteCapacity: Int
  /// The one used last comes last.
  private let pictures = Mutex<[Picture]>([])

  /// - Parameter bytes: of pixels and embeddings together. The picture used last is held even if it alone is larger.
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
  func add(_ image: Image) -> Picture {
    let handle = Picture.handle(of: image)
    if let known = find(handle) { return known }
    let picture = Picture(image, handle: handle)
    pictures.withLock { $0.append(picture) }
    trim()
    return picture
  }

  /// Lets the pictures go that were not used for longest, until the rest fits.
  func trim() {
    pictures.withLock { pictures in
      var bytes = pictures.reduce(0) { $0 + $1.byteCount }
      while pictures.count > 1, pictures.count > capacity || bytes > byteCapacity {
        bytes -= pictures.removeFirst().byteCount
      }
    }
  }

  /// How many pictures are held, and their memory in bytes.
  var usage: (count: Int, bytes: Int) {
    pictures.withLock { pictures in (pictures.count, pictures.reduce(0) { $0 + $1.byteCount }) }
  }
}
