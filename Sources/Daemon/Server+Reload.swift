import Imaging
import Masks
import Wire

extension Server {
  /// Loads the models that are wanted now.
  public typealias Reload = @Sendable () throws -> (segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?)

  /// Loads models beside those that serve, tries them, and puts them in their place between two requests. Whatever goes wrong is
  /// told in the log, and the old ones go on.
  func takeModels(from load: Reload) {
    let start = ContinuousClock.now
    do {
      let (segmenter, labeler) = try load()
      try Pipeline.tryOut(segmenter: segmenter, labeler: labeler)
      pipeline.replace(segmenter: segmenter, labeler: labeler)
      let names = [segmenter?.model.name, labeler?.model.name].compactMap { $0 }
      let seconds = ((.now - start).seconds * 10).rounded() / 10
      log("reloaded \(names.isEmpty ? "no model" : names.joined(separator: " and ")) after \(seconds) s")
    } catch {
      log("reload failed, the models stay as they were: \(error)")
    }
  }
}

extension Pipeline {
  /// Does with models what clients will ask them for: a click and its words, on a small picture.
  ///
  /// - Throws: what is wrong with the answer.
  static func tryOut(segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?) throws(WireError) {
    let (width, height) = (64, 48)
    let pixels = (0..<3 * width * height).map { UInt8(truncatingIfNeeded: ($0 / 3 % width) * 4 + $0 / (3 * width)) }
    let image = ImageReference.blob(
      index: 0, encoding: .rgb8, raw: ImageReference.RawLayout(width: width, height: height, step: 3 * width))
    let trial = Pipeline(segmenter: segmenter, labeler: labeler)
    func ask(_ operation: Request.Operation) throws(WireError) {
      let reply = trial.perform(Request(operation), blobs: [pixels])
      if let error = reply.error { throw error }
      guard reply.header["masks"]?.array?.isEmpty == false else { throw WireError(.internal, "the trial gave no mask") }
    }
    if segmenter != nil {
      let prompt = WirePrompt(points: [Point(x: 32, y: 24)], pointLabels: [1])
      try ask(.segment(SegmentRequest(image: image, prompts: [prompt])))
    }
    if labeler != nil {
      var square = BitMask(width: width, height: height)
      for y in 16..<32 { for x in 24..<40 { square[x, y] = true } }
      let mask = GivenMask(height: height, width: width, counts: .raw(RunLengthEncoding(square).counts))
      var request = LabelRequest(image: image, regions: .masks([mask]))
      request.maxTokens = 4
      try ask(.label(request))
    }
  }
}
