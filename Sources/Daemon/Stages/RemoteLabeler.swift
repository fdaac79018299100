import Imaging
import Masks
import Osprey
import Wire

/// The image tokens of a picture that workers see: made by one of stage "extract", read by those of stage "language".
private struct RemoteTokens: Held {
  let picture: RemotePicture
  let rows: Int
  let columns: Int
  let bytes: [UInt8]
  var byteCount: Int { bytes.count }

  var attachment: StageAttachment {
    StageAttachment(
      handle: picture.handle, width: picture.image.width, height: picture.image.height,
      content: .tokens(rows: rows, columns: columns), bytes: bytes)
  }
}

/// Stages "extract" and "language" in other processes. A picture's tokens cross once, and each region's.
public struct RemoteLabeler: LabelEngine {
  private let pool: WorkerPool
  private var errand = Errand()
  /// How many regions are looked at before words are asked for, which bounds their memory.
  private static let batch = 128

  public init(_ pool: WorkerPool) { self.pool = pool }

  public var model: ModelDescription { pool.model(.language, role: "labeler") }

  public func working(for errand: Errand) -> any LabelEngine {
    var copy = self
    copy.errand = errand
    return copy
  }

  public func look(_ image: Image) throws -> any Held { try look(Picture(image)) }

  public func look(_ picture: Picture) throws -> any Held {
    let remote = RemotePicture(picture)
    let request = Request(.putImage(.handle(remote.handle)))
    let call = StageCall(.extract, request, about: remote.attachment, for: errand)
    let result = try pool.call(call, isCancelled: { errand.isCancelled })
    let body = try StageProtocol.body(result.body, from: "a worker of stage 'extract'")
    guard let shape = body["image_tokens"]?["shape"]?.array?.compactMap(\.integer), shape.count == 2,
      let blob = body["image_tokens"]?["blob"]?.integer, result.blobs.indices.contains(blob),
      (1...1 << 20).contains(shape[0]), (1...1 << 20).contains(shape[1]),
      result.blobs[blob].count == 4 * shape[0] * shape[1], LittleEndian.floats(result.blobs[blob]) != nil
    else { throw Self.nonsense(.extract) }
    return RemoteTokens(picture: remote, rows: shape[0], columns: shape[1], bytes: result.blobs[blob])
  }

  public func read(_ features: any Held, priority: Int, isCancelled: () -> Bool) throws -> any Held {
    let tokens = try own(features)
    var request = Request(.putImage(.handle(tokens.picture.handle)))
    request.priority = priority
    let call = StageCall(.language, request, about: tokens.attachment, for: errand)
    _ = try pool.call(call, isCancelled: isCancelled)
    return tokens
  }

  public func words(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool,
    report: (Int, Words) -> Void
  ) throws {
    let tokens = try own(seen)
    var reported: Set<Int> = []
    for start in stride(from: 0, to: masks.count, by: Self.batch) {
      let batch = Array(masks[start..<min(start + Self.batch, masks.count)])
      let regions = try regions(tokens, batch, wish.priority, isCancelled)
      let call = StageCall(
        .language, request(tokens, [], wish), extra: regions.fields, blobs: [regions.bytes], about: tokens.attachment,
        for: errand)
      _ = try pool.call(call, isCancelled: isCancelled) { body throws(WireError) in
        let news = try StageProtocol.body(body, from: "a worker of stage 'language'")
        guard let index = news["index"]?.integer, batch.indices.contains(index),
          let words = news["words"].flatMap({ Words($0) })
        else { throw Self.nonsense(.language) }
        // Another worker says it again where one died halfway.
        if reported.insert(start + index).inserted { report(start + index, words) }
      }
    }
  }

  public func answer(
    _ seen: any Held, _ masks: [RunLengthEncoding], _ wish: WordsWish, isCancelled: () -> Bool
  ) throws -> Words {
    let tokens = try own(seen)
    // Only masks that are named are looked at; numbers that name none are for the worker to refuse.
    let named = wish.regionNumbers.map { $0 - 1 }.filter { masks.indices.contains($0) }
    let regions = try regions(tokens, named.map { masks[$0] }, wish.priority, isCancelled).renumbered(named)
    let call = StageCall(
      .language, request(tokens, [], wish), extra: regions.fields + [("count", .integer(masks.count))],
      blobs: [regions.bytes], about: tokens.attachment, for: errand)
    let body = try StageProtocol.body(
      pool.call(call, isCancelled: isCancelled).body, from: "a worker of stage 'language'")
    guard let answer = body["answer"].flatMap({ Words($0) }) else { throw Self.nonsense(.language) }
    return answer
  }

  /// The tokens of regions, by a worker of stage "extract".
  private func regions(
    _ tokens: RemoteTokens, _ masks: [RunLengthEncoding], _ priority: Int, _ isCancelled: () -> Bool
  ) throws -> SentRegions {
    let call = StageCall(
      .extract, request(tokens, masks, WordsWish(style: .short)), about: tokens.picture.attachment, for: errand)
    let result = try pool.call(call, isCancelled: isCancelled)
    let body = try StageProtocol.body(result.body, from: "a worker of stage 'extract'")
    guard let sent = SentRegions(body, blobs: result.blobs), sent.areRegions(of: masks.count),
      sent.columns == tokens.columns || masks.isEmpty
    else { throw Self.nonsense(.extract) }
    return sent
  }

  private func request(_ tokens: RemoteTokens, _ masks: [RunLengthEncoding], _ wish: WordsWish) -> Request {
    let given = masks.map { GivenMask(height: $0.height, width: $0.width, counts: .compressed($0.compressed)) }
    var label = LabelRequest(image: .handle(tokens.picture.handle), regions: .masks(given))
    (label.style, label.question, label.history) = (wish.style, wish.question, wish.history)
    (label.vocabulary, label.maxTokens) = (wish.vocabulary, wish.maxTokens)
    (label.temperature, label.topP, label.seed) = (wish.temperature, wish.topP, wish.seed)
    var request = Request(.label(label))
    request.priority = wish.priority
    return request
  }

  private func own(_ held: any Held) throws(WireError) -> RemoteTokens {
    guard let tokens = held as? RemoteTokens else {
      throw WireError(.internal, "the picture was not seen by the workers")
    }
    return tokens
  }

  private static func nonsense(_ stage: Pipeline.Stage) -> WireError {
    WireError(.internal, "a worker of stage '\(stage.rawValue)' sent what is no result")
  }
}
