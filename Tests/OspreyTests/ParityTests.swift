import Checkpoints
import Foundation
import Imaging
import Masks
import Tensors
import Testing

@testable import Osprey

/// Against the official code at small sizes: `Tools/parity/osprey.py`.
@Suite struct ParityTests {
  @Test(arguments: [
    ("plain_heads", "plain_heads", "plain_heads"), ("grouped", "grouped", "grouped"),
    ("full_size", "plain_heads", "plain_heads"), ("linear", "plain_heads", "linear"),
    ("llama3", "plain_heads", "llama3"),
  ])
  func everyTensorAndTokenAgrees(golden name: String, weights: String, configuration: String) throws {
    let golden = try Fixture.json(name + ".json", as: Golden.self)
    let tensors = try openCheckpoint(Fixture.path(name + ".golden.safetensors"))
    let osprey = try Fixture.model(weights, size: golden.size, configuration: configuration)
    for entry in golden.cases {
      let image = Fixture.picture(width: entry.width, height: entry.height)
      let trace = try osprey.trace(image, masks: entry.masks, question: entry.asked, maxTokens: 24)
      var compared = 0
      for (key, array) in trace {
        let key = "\(entry.name).\(key.dropFirst("osprey.".count))"
        switch array {
        case .float32(let tensor):
          guard tensors.shape(of: key) != nil else { continue }
          expectClose(tensor, try tensors.tensor(key), "\(name) \(key)")
          compared += 1
        case .int32(let ids): #expect(ids.map(Int.init) == entry.generated, "\(name) \(entry.name)")
        case .uint8: Issue.record("\(key) holds bytes")
        }
      }
      #expect(compared >= 4)
    }
  }

  @Test func promptsHaveTheOfficialTokens() throws {
    let golden = try Fixture.json("plain_heads.json", as: Golden.self)
    let tokenizer = try SentencePieceTokenizer(path: Fixture.path("tokenizer.model"))
    for entry in golden.cases {
      var ids = PromptTemplate.prefix(tokenizer) + [-200]
      for slot in PromptTemplate.suffix(try entry.asked.turns(masks: entry.runs.count), tokenizer) {
        switch slot {
        case .token(let id): ids.append(id)
        case .region: ids += [tokenizer.maskId, tokenizer.positionId]
        }
      }
      #expect(ids == entry.promptIds, "\(entry.name)")
    }
  }

  /// Follow-up questions, by the official template and transformers' tokenizer: `Tools/parity/conversation.py`.
  @Test func conversationsHaveTheOfficialTokens() throws {
    struct Case: Decodable {
      let turns: [[String?]]
      let ids: [Int]
    }
    let tokenizer = try SentencePieceTokenizer(path: Fixture.path("tokenizer.model"))
    let cases = try Fixture.json("conversations.json", as: [Case].self)
    #expect(cases.count >= 4)
    for entry in cases {
      let history = entry.turns.dropLast().map { Question.Turn(question: $0[0] ?? "", answer: $0[1] ?? "") }
      let question = Question(entry.turns[entry.turns.count - 1][0] ?? "", history: history)
      let masks = entry.turns.reduce(0) {
        $0 + ($1[0] ?? "").split(separator: "<mask><pos>", omittingEmptySubsequences: false).count - 1
      }
      var ids = PromptTemplate.prefix(tokenizer) + [-200]
      for slot in PromptTemplate.suffix(try question.turns(masks: masks), tokenizer) {
        switch slot {
        case .token(let id): ids.append(id)
        case .region: ids += [tokenizer.maskId, tokenizer.positionId]
        }
      }
      #expect(ids == entry.ids, "\(entry.turns)")
    }
  }

  /// One batch through one cached prefix gives what the official code gives one by one without any cache.
  @Test func answersInABatchAgree() throws {
    let golden = try Fixture.json("plain_heads.json", as: Golden.self)
    let osprey = try Fixture.model("plain_heads", size: golden.size)
    for title in ["landscape", "portrait", "strip"] {
      let cases = golden.cases.filter { $0.name.hasPrefix(title) }
      let seen = try osprey.see(Fixture.picture(width: cases[0].width, height: cases[0].height))
      let requests = cases.map { Osprey.Request(masks: $0.masks, question: $0.asked) }
      for (answer, entry) in zip(try osprey.answer(seen, requests, maxTokens: 24), cases) {
        #expect(answer.tokenIds == entry.generated, "\(entry.name)")
        #expect(abs(answer.meanLogProbability - entry.meanLogProbability) < 1e-3, "\(entry.name)")
        #expect(answer.evidence.emptyLevels == entry.empty, "\(entry.name)")
      }
    }
  }

  @Test(arguments: ["plain_heads", "grouped"])
  func answersReadAsTheDemos(_ name: String) throws {
    for entry in try Fixture.json(name + ".json", as: Golden.self).cases
    where LabelStyle(rawValue: entry.question) != .category {
      let style = LabelStyle(rawValue: entry.question) ?? .detailed
      let demo = entry.answer.trimmingCharacters(in: .whitespacesAndNewlines.union(.controlCharacters))
      let mine = AnswerText.tidy(entry.raw, style: style)
      #expect(mine.trimmingCharacters(in: .controlCharacters) == demo, "\(entry.name)")
    }
  }

  @Test func thinMasksVanishAndAreReported() throws {
    let golden = try Fixture.json("plain_heads.json", as: Golden.self)
    #expect(golden.cases.contains { $0.empty.contains { $0.contains("res5") && !$0.contains("res2") } })
  }
}
