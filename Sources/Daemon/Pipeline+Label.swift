import Masks
import Osprey
import Wire

extension Pipeline {
  /// How many masks' words a streaming client gets at a time.
  private static let streamedBatch = 8

  /// Stage "extract": the labeler's features of the picture.
  func extract(_ job: Job, _ models: Models) throws {
    guard let labeler = models.labeler, let picture = job.picture, !picture.holds(.prefix, of: models) else { return }
    _ = try picture.remember(.features, of: models) { try labeler.look(picture) }
    pictures.trim()
  }

  /// Stage "language": words for each mask, or the answer to a question about several.
  func language(_ job: Job, _ models: Models) throws {
    guard case .label(let request) = job.request.operation, let labeler = models.labeler, let picture = job.picture
    else {
      throw WireError(.internal, "op '\(job.request.operation.name)' has no business in stage 'language'")
    }
    let seen = try prefix(labeler, models, picture, job)
    let wish = WordsWish(request, priority: job.request.priority)
    if wish.namesRegions {
      let masks = job.regions.map(\.found.mask)
      job.answer = try labeler.answer(seen, masks, wish, isCancelled: { job.isCancelled })
    } else {
      try words(labeler, seen, wish, job)
    }
    job.reply = try masksReply(job, request.masks)
  }

  /// The language model's work on the picture, done now if it was not, or was let go of.
  private func prefix(
    _ labeler: any LabelEngine, _ models: Models, _ picture: Picture, _ job: Job
  ) throws -> any Held {
    var isNew = false
    let seen = try picture.remember(.prefix, of: models) {
      isNew = true
      let features = try picture.remember(.features, of: models) { try labeler.look(picture) }
      do {
        return try labeler.read(features, priority: job.request.priority, isCancelled: { job.isCancelled })
      } catch {
        // Be it that the features are at fault: the next one to ask has the picture looked at anew.
        if !job.isCancelled { picture.forget(.features) }
        throw error
      }
    }
    pictures.countPrefix(isNew: isNew)
    // What the language model read holds the features already.
    picture.forget(.features)
    pictures.trim()
    return seen
  }

  private func words(_ labeler: any LabelEngine, _ seen: any Held, _ wish: WordsWish, _ job: Job) throws {
    // A mask without pixels has no words; the labeler would guess some from the rest of the picture.
    for index in job.regions.indices where job.regions[index].found.mask.area == 0 {
      let evidence = JSONValue(entries: [
        ("empty", .bool(true)), ("vanished", .bool(true)), ("reason", .string("the mask has no pixels")),
      ])
      job.regions[index].words = Words(label: "", evidence: evidence)
    }
    let waiting = job.regions.indices.filter { job.regions[$0].words == nil }
    var (known, fresh) = (0, [Int]())
    try labeler.words(seen, waiting.map { job.regions[$0].found.mask }, wish, isCancelled: { job.isCancelled }) {
      job.regions[waiting[$0]].words = $1
      known += 1
      // Someone who watches gets words soon rather than all at once; the last come with everything.
      fresh.append(waiting[$0])
      guard fresh.count >= Self.streamedBatch, known < waiting.count else { return }
      job.emit(wordsReply(job, fresh))
      fresh = []
    }
    guard known == waiting.count else {
      throw WireError(.internal, "the labeler gave \(known) answers for \(waiting.count) masks")
    }
  }
}

extension WordsWish {
  /// Whether it is one question about several masks, which it calls `<region1>`, `<region2>`, …
  var namesRegions: Bool { !regionNumbers.isEmpty }

  /// The numbers that the question and earlier ones name, in their order.
  var regionNumbers: [Int] {
    Set(([question ?? ""] + history.map(\.question)).flatMap { Question.regionNumbers(in: $0) }).sorted()
  }
}
