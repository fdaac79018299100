import Masks
import Wire

extension Pipeline {
  /// The most memory that decoded masks take at a time, in bytes.
  private static let maskBytes = 256 << 20
  /// How many masks go to the labeler at a time.
  private static let maskBatch = 32
  /// The same where the words are streamed.
  private static let streamedBatch = 8

  /// Stage "extract": the labeler's features of the picture.
  func extract(_ job: Job) throws {
    guard let labeler, let picture = job.picture, !picture.holds(.prefix) else { return }
    _ = try picture.remember(.features) { try labeler.look(picture.image) }
    pictures.trim()
  }

  /// Stage "language": words for each mask.
  func language(_ job: Job) throws {
    guard case .label(let request) = job.request.operation, let labeler, let picture = job.picture else {
      throw WireError(.internal, "op '\(job.request.operation.name)' has no business in stage 'language'")
    }
    let seen = try picture.remember(.prefix) {
      try labeler.read(try picture.remember(.features) { try labeler.look(picture.image) })
    }
    // What the language model read holds the features already.
    picture.forget(.features)
    pictures.trim()
    let wish = WordsWish(
      style: request.style, question: request.question, vocabulary: request.vocabulary, maxTokens: request.maxTokens)
    // A mask without pixels has no words; the labeler would guess some from the rest of the picture.
    for index in job.regions.indices where job.regions[index].found.mask.area == 0 {
      job.regions[index].words = Words(label: "", evidence: JSONValue(entries: [("empty", .bool(true))]))
    }
    let waiting = job.regions.indices.filter { job.regions[$0].words == nil }
    let pixels = max(1, picture.image.width * picture.image.height)
    // Someone who watches gets words soon rather than all at once.
    let most = job.request.stream ? Self.streamedBatch : Self.maskBatch
    let batch = min(most, max(1, Self.maskBytes / pixels))
    for start in stride(from: 0, to: waiting.count, by: batch) {
      try job.checkWanted()
      let indices = waiting[start..<min(start + batch, waiting.count)]
      let masks = indices.map { job.regions[$0].found.mask.bitMask() }
      let words = try labeler.words(seen, masks, wish, isCancelled: { job.isCancelled })
      guard words.count == masks.count else {
        throw WireError(.internal, "the labeler gave \(words.count) answers for \(masks.count) masks")
      }
      for (index, words) in zip(indices, words) { job.regions[index].words = words }
      if start + batch < waiting.count { job.emit(wordsReply(job, Array(indices))) }
    }
    job.reply = try masksReply(job, request.masks)
  }
}
