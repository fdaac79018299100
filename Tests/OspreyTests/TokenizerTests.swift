import Foundation
import Testing

@testable import Osprey

@Suite struct TokenizerTests {
  struct Golden: Decodable {
    struct Encoded: Decodable {
      let text: String
      let ids: [Int]
      /// What the ids read as, where that is not the text.
      let decoded: String?
    }
    struct Decoded: Decodable {
      let ids: [Int]
      let text: String
    }
    let encode: [Encoded]
    let decode: [Decoded]
  }

  /// LLaMA's settings, and a model with collapsed spaces, no bytes and pieces of the user's own.
  @Test(arguments: ["tokenizer", "plain"])
  func agreesWithSentencePiece(_ name: String) throws {
    let golden = try Fixture.json(name + ".json", as: Golden.self)
    let tokenizer = try SentencePieceTokenizer(path: Fixture.path(name + ".model"))
    #expect(golden.encode.count > 5000)
    for entry in golden.encode {
      let ids = tokenizer.encode(entry.text)
      #expect(ids == entry.ids, "\(entry.text.debugDescription)")
      #expect(
        Array(tokenizer.decode(ids).utf8) == Array((entry.decoded ?? entry.text).utf8), "\(entry.text.debugDescription)"
      )
    }
    for entry in golden.decode {
      #expect(Array(tokenizer.decode(entry.ids).utf8) == Array(entry.text.utf8), "\(entry.ids)")
    }
  }

  @Test func longTextsTakeLinearTimeAndStrangeIdsVanish() throws {
    let tokenizer = try SentencePieceTokenizer(path: Fixture.path("tokenizer.model"))
    let ids = tokenizer.encode(String(repeating: "the cup ", count: 20_000))
    #expect(ids.count >= 20_000)
    #expect(tokenizer.decode([-1, Int.max, Int.min, tokenizer.maskId]) == "")
  }

  @Test func damagedModelsAreRefused() throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixture.path("tokenizer.model"))))
    for length in stride(from: 0, to: bytes.count, by: 13) {
      _ = try? SentencePieceModel(bytes: Array(bytes.prefix(length)), path: "cut")
    }
    var state: UInt64 = 1
    for _ in 0..<300 {
      var damaged = bytes
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        damaged[Int(state >> 33) % damaged.count] = UInt8(truncatingIfNeeded: state >> 20)
      }
      if let model = try? SentencePieceModel(bytes: damaged, path: "damaged"),
        let tokenizer = try? SentencePieceTokenizer(model, path: "damaged")
      {
        _ = tokenizer.decode(tokenizer.encode("a cup on the table, 日本"))
      }
    }
    let cases: [([UInt8], String)] = [
      ([], "it has no pieces"),
      ([0x0a, 0x05, 0x01], "a field of 5 bytes, where 1 are left"),
      ([0x0b], "a field of wire type 3"),
      ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a number has more than ten bytes"),
      ([0x0a, 0x03, 0x0a, 0x01, 0x61], "it has 1 pieces and then ends, without a trainer_spec"),
      ([0x0a, 0x00], "a piece is empty"),
    ]
    for (bytes, reason) in cases {
      let expected =
        bytes.isEmpty ? "it has 0 pieces and then ends, without a trainer_spec" : reason
      #expect(throws: OspreyError.tokenizer(path: "x", reason: expected)) {
        _ = try SentencePieceModel(bytes: bytes, path: "x")
      }
    }
    // A BPE model of one piece: no unknown piece.
    let lone: [UInt8] = [0x0a, 0x03, 0x0a, 0x01, 0x61, 0x12, 0x02, 0x18, 0x02]
    #expect(throws: OspreyError.tokenizer(path: "x", reason: "it has no unknown piece")) {
      _ = try SentencePieceTokenizer(SentencePieceModel(bytes: lone, path: "x"), path: "x")
    }
  }
}
