import Crypto
import Foundation
import Imaging
import Synchronization

/// A picture with what the models have seen in it so far.
public final class Picture: Sendable {
  /// `sha256:` and the digest of size and pixels.
  public let handle: String
  public let image: Image
  /// Whether it is a camera's that nobody else has sent or asked for.
  private let frame: Atomic<Bool>
  private let seen = Mutex<Seen>(Seen())

  /// One lock for each kind, held while it is made.
  private let makers: [Kind: NSLock] = [.embedding: NSLock(), .features: NSLock(), .prefix: NSLock()]

  /// One kind of memory for each model and stage.
  enum Kind: Hashable { case embedding, features, prefix }

  private struct Seen { var held: [Kind: (memory: any Held, generation: Int)] = [:] }

  init(_ image: Image, handle: String? = nil, isFrame: Bool = false) {
    self.image = image
    frame = Atomic(isFrame)
    self.handle = handle ?? Self.handle(of: image)
  }

  var isFrame: Bool { frame.load(ordering: .relaxed) }

  /// A client knows it.
  func keep() { frame.store(false, ordering: .relaxed) }

  /// The name of an image by its pixels: the digest of `width`×`height`, a newline, and the RGB bytes.
  static func handle(of image: Image) -> String {
    var hash = SHA256()
    hash.update(data: Array("\(image.width)x\(image.height)\n".utf8))
    hash.update(data: image.pixels)
    return "sha256:\(hash.finalize().hexadecimal)"
  }

  /// What is remembered of a kind, made now if there is none: once, by the first of several threads that ask at the same
  /// time. Where that one fails, being cancelled perhaps, the next one makes it; who is cancelled meanwhile waits no longer.
  /// Making a prefix may ask for the features, not the other way round. What other models made is not used, and what older
  /// ones make not kept.
  func remember(
    _ kind: Kind, of models: Pipeline.Models, _ make: () throws -> any Held
  ) throws -> any Held {
    while makers[kind]?.lock(before: Date(timeIntervalSinceNow: 0.02)) == false { try models.errand.checkWanted() }
    defer { makers[kind]?.unlock() }
    if let held = seen.withLock({ $0.held[kind] }), held.generation == models.generation { return held.memory }
    let made = try make()
    seen.withLock { seen in
      if seen.held[kind]?.generation ?? 0 <= models.generation { seen.held[kind] = (made, models.generation) }
    }
    return made
  }

  func forget(_ kind: Kind) { seen.withLock { $0.held[kind] = nil } }

  func forgetEverything() { seen.withLock { $0.held = [:] } }

  func holds(_ kind: Kind) -> Bool { seen.withLock { $0.held[kind] != nil } }

  func holds(_ kind: Kind, of models: Pipeline.Models) -> Bool {
    seen.withLock { $0.held[kind]?.generation == models.generation }
  }

  /// The memory of what is remembered of a kind, in bytes; 0 if there is none.
  func byteCount(of kind: Kind) -> Int { seen.withLock { $0.held[kind]?.memory.byteCount ?? 0 } }

  /// The memory of the pixels and all that is remembered, in bytes.
  var byteCount: Int { image.pixels.count + seen.withLock { $0.held.values.reduce(0) { $0 + $1.memory.byteCount } } }
}
