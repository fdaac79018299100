import Wire

extension Pipeline {
  /// Masks of everything. Who streams gets some on the way, coarse to fine, which are provisional.
  func automatic(
    _ segmenter: any SegmentEngine, _ embedding: any Held, _ parameters: AutomaticParameters, _ job: Job,
    _ encoding: MaskEncoding, _ isCancelled: () -> Bool
  ) throws -> [Region] {
    guard let picture = job.picture else { throw WireError(.internal, "masks without a picture") }
    var told = 0
    let watch: ([FoundMask]) -> Void = { found in
      // Nobody asked for more than so many.
      let some = found.prefix((parameters.maxMasks ?? .max) - told).map { Region($0) }
      guard !some.isEmpty else { return }
      // What cannot be told on the way is told in the end, be it masks or what is wrong with them.
      guard let reply = try? self.provisionalReply(job, some, firstID: told, encoding) else { return }
      told += some.count
      job.emit(reply)
    }
    var found = try segmenter.automatic(
      picture.image, embedding, parameters, isCancelled: isCancelled, watch: job.isWatched ? watch : nil)
    if let most = parameters.maxMasks, found.count > most {
      // The best by predicted IoU, in the order in which they came.
      let order = found.indices.sorted { a, b in
        let (first, second) = (found[a].predictedIoU ?? 0, found[b].predictedIoU ?? 0)
        return first == second ? a < b : first > second
      }
      found = order.prefix(most).sorted().map { found[$0] }
    }
    return found.map { Region($0) }
  }
}
