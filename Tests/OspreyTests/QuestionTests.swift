import Foundation
import Masks
import Tensors
import Testing

@testable import Osprey

@Suite struct QuestionTests {
  @Test func regionsAreFoundInOrder() throws {
    #expect(
      try Question("Is <mask><pos> near <mask><pos>?").turns(masks: 2)[0].parts == [
        .text("Is "), .region(0), .text(" near "), .region(1), .text("?"),
      ])
    #expect(
      try Question("<region2> or <region1> or <region2>").turns(masks: 2)[0].parts == [
        .region(1), .text(" or "), .region(0), .text(" or "), .region(1),
      ])
    #expect(try Question("What is this? <mask> </s> <image> <pos>").turns(masks: 0)[0].parts.count == 1)
  }

  /// Masks are counted through all questions; numbers may come again; answers are text.
  @Test func earlierQuestionsNameRegionsToo() throws {
    let paired = Question("And <mask><pos>?", history: [.init(question: "<mask><pos>?", answer: "<mask><pos>")])
    #expect(
      try paired.turns(masks: 2).map(\.parts) == [[.region(0), .text("?")], [.text("And "), .region(1), .text("?")]])
    #expect(try paired.turns(masks: 2).map(\.answer) == ["<mask><pos>", nil])
    let numbered = Question("<region2>, not <region1>", history: [.init(question: "<region1>", answer: "a")])
    #expect(numbered.asRead == "<mask><pos>, not <mask><pos>")
    #expect(try numbered.turns(masks: 2)[1].parts == [.region(1), .text(", not "), .region(0)])
    #expect(Question.regionNumbers(in: "<region10> <region2> <region> <regionx>") == [10, 2])
    #expect(Question.renumbered("<region10> <region2>") { $0 + 1 } == "<region11> <region3>")
    #expect(throws: OspreyError.self) {
      try Question("<region1>", history: [.init(question: "<mask><pos>", answer: "a")]).turns(masks: 1)
    }
  }

  @Test func wrongRegionsAreRefused() {
    #expect(throws: OspreyError.regionCount(inQuestion: 1, masks: 2)) { try Question(.short).turns(masks: 2) }
    #expect(throws: OspreyError.regionCount(inQuestion: 0, masks: 1)) { try Question("What?").turns(masks: 1) }
    #expect(throws: OspreyError.regionCount(inQuestion: 1, masks: 2)) { try Question("<region1>").turns(masks: 2) }
    for text in ["<region0>", "<region3>", "<region999999999>", "<region1> <mask><pos>"] {
      #expect(throws: OspreyError.self) { try Question(text).turns(masks: 2) }
    }
  }

  @Test func answersAreTidiedAsTheDemoDoes() {
    #expect(AnswerText.tidy(" It is: a cup. A cup: no.", style: .short) == "a cup. A cup.")
    #expect(
      AnswerText.tidy("A red cup. It stands. A red cup. It falls.", style: .detailed)
        == "A red cup. It stands.")
    #expect(AnswerText.tidy("a. b. a. b. b.", style: .detailed) == "a. b.")
    #expect(AnswerText.tidy("a cup", style: .short) == "a cup.")
    #expect(AnswerText.tidy(" cup.", style: .category) == "cup")
    #expect(AnswerText.tidy("At 10:30", style: nil) == "At 10:30")
    #expect(AnswerText.tidy("", style: .short) == "")
    #expect(AnswerText.tidy(":", style: .category) == "")
  }

  @Test func specialTokensTypedByAUserAreText() throws {
    let osprey = try Fixture.model("grouped", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 60, height: 50))
    var mask = BitMask(width: 60, height: 50)
    mask[5, 5] = true
    for text in ["<mask><pos> </s><s><unk><image><mask> <pos>", "<mask><pos>\u{0}\u{10ffff}", "<pos><mask><pos><mask>"]
    {
      let answer = try osprey.answer(seen, masks: [mask], question: Question(text), maxTokens: 3)
      #expect(answer.evidence.prompt == "osprey_v1/free")
    }
    let nothing = try osprey.answer(seen, masks: [], question: Question("What is it?"), maxTokens: 3)
    #expect(nothing.evidence.regions.isEmpty)
    let empty = try osprey.label(seen, mask: BitMask(width: 60, height: 50), style: .short, maxTokens: 2)
    #expect(empty.evidence.emptyLevels == [["res2", "res3", "res4", "res5"]])
  }

  /// Weighing words gives the same numbers as generating them.
  @Test func aVocabularyIsWeighed() throws {
    let osprey = try Fixture.model("plain_heads", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 60, height: 50))
    let mask = BitMask(width: 60, height: 50, bits: Array(repeating: 1, count: 3000))
    let choices = try osprey.choose(
      seen, osprey.regionTokens(seen.features, mask), among: ["cup", "table", " cup ", "a red lamp", "日"])
    #expect(Set(choices.map(\.word)) == ["cup", "table", "a red lamp", "日", nil])
    #expect(abs(choices.reduce(0) { $0 + $1.share } - 1) < 1e-9)
    #expect(abs(choices.reduce(0) { $0 + exp($1.logProbability) } - 1) < 1e-9)
    #expect(zip(choices, choices.dropFirst()).allSatisfy { $0.logProbability >= $1.logProbability })

    let prompt = try osprey.prompt(seen, .init(masks: [mask], question: Question(.category)))
    let prefix = (cache: seen.prefix, count: prompt.shared)
    let generation = try osprey.generate(seen, [prompt], maxTokens: 6)[0]
    // What is generated, cut anywhere and continued otherwise: the trie's branches share what they begin with.
    let ids = generation.ids
    let words = (1...ids.count).map { Array(ids.prefix($0)) } + [[ids[0], ids[2]], Array(ids.reversed())]
    let weighed = try osprey.llama.logProbabilities(
      of: VocabularyTrie(words), words: words.count, end: ids[0], after: prompt.embeddings, prefix: prefix,
      isCancelled: { false })
    let apart = try words.map { word in
      try osprey.llama.logProbabilities(
        of: VocabularyTrie([word]), words: 1, end: ids[0], after: prompt.embeddings, prefix: prefix,
        isCancelled: { false })[0]
    }
    #expect(zip(weighed, apart).allSatisfy { abs($0 - $1) < 1e-3 }, "\(weighed) \(apart)")
    // The end token is one that the model did not choose, so its part is taken from the next word's beginning.
    let open = try osprey.llama.logProbabilities(
      of: VocabularyTrie([Array(ids.dropLast())]), words: 1, end: ids[5], after: prompt.embeddings, prefix: prefix,
      isCancelled: { false })[0]
    #expect(abs(open - generation.logProbabilities.reduce(0, +)) < 1e-3)

    for vocabulary in [
      [], [""], ["a", "  "], [String(repeating: "x", count: 257)], Array(repeating: "a", count: 4097),
    ] {
      #expect(throws: OspreyError.self) {
        try osprey.choose(seen, osprey.regionTokens(seen.features, mask), among: vocabulary)
      }
    }
  }

  @Test func requestsOutOfBoundsAreRefused() throws {
    let osprey = try Fixture.model("grouped", size: 128)
    let seen = try osprey.see(Fixture.picture(width: 60, height: 50))
    let mask = BitMask(width: 60, height: 50)
    #expect(throws: OspreyError.maxTokens(0, limit: 1024)) {
      try osprey.label(seen, mask: mask, style: .short, maxTokens: 0)
    }
    #expect(throws: OspreyError.maskSize(expectedWidth: 60, expectedHeight: 50, width: 50, height: 60)) {
      try osprey.label(seen, mask: BitMask(width: 50, height: 60), style: .short, maxTokens: 1)
    }
    let long = Question("<mask><pos>" + String(repeating: " x", count: 3000))
    #expect(throws: OspreyError.self) { try osprey.answer(seen, masks: [mask], question: long, maxTokens: 1) }
    #expect(throws: OspreyError.cancelled) {
      try osprey.answer(seen, [.init(masks: [mask], question: Question(.short))], maxTokens: 5, isCancelled: { true })
    }
    #expect(throws: OspreyError.imageSize(width: 0, height: 0)) {
      try osprey.see(Fixture.picture(width: 0, height: 0))
    }
    _ = try osprey.see(Fixture.picture(width: 3000, height: 2))
    // A context that fills up ends an answer: 2048 positions, of which the prompt leaves a few.
    let filling = Question("<mask><pos>" + String(repeating: "\n", count: 1850))
    let answer = try osprey.answer(seen, masks: [mask], question: filling, maxTokens: 1024)
    #expect(answer.tokenIds.count < 200)
  }

  @Test func configurationsAreChecked() throws {
    let text = try String(contentsOfFile: Fixture.path("grouped.config.json"), encoding: .utf8)
    func configuration(_ changes: [String: Any]) throws -> LlamaConfiguration {
      var object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
      object.merge(changes) { $1 }
      return try LlamaConfiguration(json: JSONSerialization.data(withJSONObject: object), path: "c")
    }
    #expect(try configuration([:]).keyValueHeads == 2)
    #expect(try configuration(["rope_scaling": ["type": "linear", "factor": 2.0]]).ropeScaling == .linear(factor: 2))
    let bad: [[String: Any]] = [
      ["hidden_size": 0], ["hidden_size": -5], ["hidden_size": "48"], ["num_key_value_heads": 5], ["head_dim": 7],
      ["hidden_act": "gelu"], ["rope_scaling": ["type": "yarn", "factor": 2.0]], ["rms_norm_eps": -1.0],
      ["num_hidden_layers": 1_000_000_000],
    ]
    for changes in bad { #expect(throws: OspreyError.self, "\(changes)") { try configuration(changes) } }
  }
}
