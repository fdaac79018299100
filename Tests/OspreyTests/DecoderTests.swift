import Foundation
import Imaging
import Masks
import Synchronization
import Tensors
import Testing

@testable import Osprey

/// Whatever is decoded beside it, a question gets the answer that it gets alone.
@Suite struct DecoderTests {
  private static func masks(_ count: Int, width: Int, height: Int) -> [BitMask] {
    (0..<count).map { i in
      var mask = BitMask(width: width, height: height)
      let (x0, y0) = (i * 7 % (width / 2), i * 5 % (height / 2))
      for y in y0..<min(height, y0 + 8 + i % 20) { for x in x0..<min(width, x0 + 10 + i % 13) { mask[x, y] = true } }
      return mask
    }
  }

  private static func question(_ i: Int) -> Question {
    switch i % 4 {
    case 0: Question(.short)
    case 1: Question(.detailed)
    case 2: Question("<mask><pos>")
    default: Question("Is it red?\nWhat is <mask><pos> beside of the table?")
    }
  }

  @Test(arguments: ["plain_heads", "grouped"])
  func fiftyRegionsTogetherAreFiftyAlone(_ name: String) throws {
    let osprey = try Fixture.model(name, size: 128)
    let seen = try osprey.see(Fixture.picture(width: 80, height: 60))
    let requests = Self.masks(50, width: 80, height: 60).enumerated().map {
      Osprey.Request(masks: [$1], question: Self.question($0), maxTokens: 3 + $0 % 17)
    }
    let before = osprey.counts
    let together = try osprey.answer(seen, requests, maxTokens: 20)
    let after = osprey.counts
    #expect(after.sequences - before.sequences == 50)
    #expect(after.steps - before.steps < (after.tokens - before.tokens) / 4)
    for (request, answer) in zip(requests, together) {
      let alone = try osprey.answer(seen, [request], maxTokens: 20)[0]
      #expect(alone.tokenIds == answer.tokenIds)
      #expect(abs(alone.meanLogProbability - answer.meanLogProbability) < 1e-4)
    }
  }

  /// Several callers with pictures of their own, some of which give up: the others get what they get alone.
  @Test func callersDoNotDisturbEachOther() throws {
    let osprey = try Fixture.model("plain_heads", size: 128)
    let sizes = [(80, 60), (50, 90), (64, 64)]
    let images = sizes.map { Fixture.picture(width: $0.0, height: $0.1) }
    let alone = try zip(images, sizes).map { image, size in
      let seen = try osprey.see(image)
      return try Self.masks(20, width: size.0, height: size.1).map {
        try osprey.label(seen, mask: $0, style: .detailed, maxTokens: 16).tokenIds
      }
    }
    let wrong = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 9) { caller in
      do {
        let (image, size) = (images[caller % 3], sizes[caller % 3])
        let seen = try osprey.see(image)
        let masks = Self.masks(20, width: size.0, height: size.1)
        var asked = 0
        let isQuitter = caller >= 6
        let answers = try osprey.labels(seen, masks: masks, style: .detailed, maxTokens: 16) {
          asked += 1
          return isQuitter && asked > caller
        }
        if isQuitter || answers.map(\.tokenIds) != alone[caller % 3] { wrong.add(1, ordering: .relaxed) }
      } catch OspreyError.cancelled where caller >= 6 {
      } catch { wrong.add(1, ordering: .relaxed) }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  /// What fails in the middle of a caller's questions withdraws the rest of them.
  @Test func anErrorLeavesTheDecoderUsable() throws {
    let osprey = try Fixture.model("grouped", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 60, height: 50))
    let good = Osprey.Request(masks: Self.masks(1, width: 60, height: 50), question: Question(.short))
    let bad = Osprey.Request(masks: Self.masks(1, width: 50, height: 60), question: Question(.short))
    #expect(throws: OspreyError.maskSize(expectedWidth: 60, expectedHeight: 50, width: 50, height: 60)) {
      try osprey.answer(seen, [good, good, bad, good], maxTokens: 4)
    }
    #expect(try osprey.answer(seen, [good, good], maxTokens: 4).count == 2)
    #expect(throws: OspreyError.cancelled) {
      try osprey.prefill(osprey.features(Fixture.picture(width: 60, height: 50)), isCancelled: { true })
    }
  }

  @Test func boundsHoldAndPrioritiesGoFirst() throws {
    let osprey = try Fixture.model("grouped", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 60, height: 50))
    var limits = DecoderLimits()
    (limits.sequences, limits.cacheBytes, limits.promptRows) = (3, 1, 5)
    let decoder = Decoder(osprey.llama, limits: limits)
    let prompt = try osprey.prompt(
      seen, .init(masks: Self.masks(1, width: 60, height: 50), question: Question(.short)))
    var (given, taken) = (0, [Int]())
    try decoder.run(isCancelled: { false }) { () throws(OspreyError) in
      guard given < 7 else { return nil }
      defer { given += 1 }
      return DecodingSequence(
        osprey.llama, prompt: prompt.embeddings, prefix: (seen.prefix, prompt.shared), maxTokens: 4, index: given)
    } finished: { sequence throws(OspreyError) in
      taken.append(sequence.index)
      #expect(given - taken.count < 3)
      #expect(sequence.generation.ids == (try osprey.generate(seen, [prompt], maxTokens: 4)[0].ids))
    }
    // One at a time, since no cache is small enough for two.
    #expect(taken == Array(0..<7))
    #expect(decoder.counts.sequences == 7)
  }

  @Test func cachesInFewerBytesSayNearlyTheSame() throws {
    let osprey = try Fixture.model("plain_heads", size: 128)
    let image = Fixture.picture(width: 80, height: 60)
    let exact = try osprey.see(image)
    #expect(exact.cacheFormat == .fp32)
    let masks = Self.masks(6, width: 80, height: 60)
    let prompt = try osprey.prompt(exact, .init(masks: [masks[3]], question: Question(.short)))
    let logits = try #require(try osprey.generate(exact, [prompt], maxTokens: 1)[0].firstLogits).values
    let scale = logits.reduce(0) { max($0, abs($1)) }
    for (format, tolerance, share) in [(CacheFormat.fp16, Float(2e-3), 0.5), (.q8, 5e-2, 0.27)] {
      let packed = try osprey.see(image, cache: format)
      #expect(packed.cacheFormat == format)
      let bytes = Double(packed.prefix.byteCount) / Double(exact.prefix.byteCount)
      #expect(abs(bytes - share) < 0.01, "\(format) takes \(bytes) of the memory")
      let others = try #require(try osprey.generate(packed, [prompt], maxTokens: 1)[0].firstLogits).values
      let difference = zip(logits, others).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(difference < tolerance * scale, "\(format): \(difference) of \(scale)")
      // In a batch as alone, from a packed cache too.
      let together = try osprey.labels(packed, masks: masks, style: .short, maxTokens: 12)
      for (mask, answer) in zip(masks, together) {
        #expect(try osprey.label(packed, mask: mask, style: .short, maxTokens: 12).tokenIds == answer.tokenIds)
      }
    }
  }

  @Test func drawnWordsRepeatBySeed() throws {
    let osprey = try Fixture.model("plain_heads", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 80, height: 60))
    let requests = Self.masks(12, width: 80, height: 60).map { Osprey.Request(masks: [$0], question: Question(.short)) }
    func draw(_ sampling: Sampling) throws -> [[Int]] {
      try osprey.answer(seen, requests, maxTokens: 12, sampling: sampling).map(\.tokenIds)
    }
    let drawn = try draw(Sampling(temperature: 1.5, topP: 0.9, seed: 7))
    #expect(try draw(Sampling(temperature: 1.5, topP: 0.9, seed: 7)) == drawn)
    #expect(try draw(Sampling(temperature: 1.5, topP: 0.9, seed: 8)) != drawn)
    for (request, ids) in zip(requests, drawn) {
      let alone = try osprey.answer(
        seen, [request], maxTokens: 12, sampling: Sampling(temperature: 1.5, topP: 0.9, seed: 7))
      #expect(alone[0].tokenIds == ids)
    }
    let likeliest = try osprey.answer(seen, requests, maxTokens: 12).map(\.tokenIds)
    #expect(try draw(Sampling(temperature: 0, seed: 1)) == likeliest)
    #expect(try draw(Sampling(temperature: 3, topP: 0, seed: 1)) == likeliest)
    #expect(try draw(Sampling(temperature: 1e-4, seed: 1)) == likeliest)
    for bad in [
      Sampling(temperature: -1, seed: 1), .init(temperature: .nan, seed: 1), .init(temperature: 1, topP: 2, seed: 1),
    ] {
      #expect(throws: OspreyError.self) { try draw(bad) }
    }
  }

  /// Frequencies follow the softmax, cut by the top probabilities.
  @Test func drawingFollowsTheProbabilities() {
    let logits = Tensor([4], [log(0.5), log(0.3), log(0.15), log(0.05)])
    func frequencies(_ temperature: Double, _ topP: Double) -> [Double] {
      var counts = [Double](repeating: 0, count: 4)
      for seed in 0..<4000 {
        var chooser = Chooser(Sampling(temperature: temperature, topP: topP, seed: UInt64(seed)))
        let (index, logProbability) = chooser.choose(logits, among: 4)
        counts[index] += 1.0 / 4000
        #expect(abs(exp(logProbability) - [0.5, 0.3, 0.15, 0.05][index]) < 1e-6)
      }
      return counts
    }
    func expect(_ counts: [Double], _ expected: [Double]) {
      for (count, value) in zip(counts, expected) { #expect(abs(count - value) < 0.03, "\(counts) beside \(expected)") }
    }
    expect(frequencies(1, 1), [0.5, 0.3, 0.15, 0.05])
    expect(frequencies(1, 0.8), [0.625, 0.375, 0, 0])
    expect(frequencies(1, 0.81), [0.5263, 0.3158, 0.1579, 0])
    expect(frequencies(0.5, 1), [0.685, 0.2466, 0.0616, 0.0068])
  }
}
