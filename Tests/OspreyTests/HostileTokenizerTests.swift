import Testing

@testable import Osprey

/// Model files made to break the reader. Each test names the error that it expects.
@Suite struct HostileTokenizerTests {
  private func varint(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + varint(value >> 7)
  }

  /// A field that holds bytes.
  private func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(bytes.count) + bytes
  }
  private func field(_ number: Int, _ value: Int) -> [UInt8] { varint(number << 3) + varint(value) }

  private func piece(_ text: String, kind: Int = 1) -> [UInt8] {
    field(1, field(1, Array(text.utf8)) + field(3, kind))
  }

  /// Of BPE, without byte fallback.
  private var trainer: [UInt8] { field(2, field(3, 2)) }
  private var specials: [UInt8] { piece("<unk>", kind: 2) + piece("<s>", kind: 3) + piece("</s>", kind: 3) }

  private func reason(_ bytes: [UInt8]) -> String? {
    do throws(OspreyError) {
      _ = try SentencePieceTokenizer(SentencePieceModel(bytes: bytes, path: "m"), path: "m")
      return nil
    } catch {
      guard case .tokenizer("m", let reason) = error else { return "another error: \(error)" }
      return reason
    }
  }

  @Test func readsWhatIsWhole() { #expect(reason(specials + piece("a") + trainer) == nil) }

  /// A tokenizer of another vocabulary; some rows more are added tokens and padding.
  @Test func anothersVocabularyIsRefused() throws {
    let bytes = specials + piece("a") + trainer
    let tokenizer = try SentencePieceTokenizer(SentencePieceModel(bytes: bytes, path: "m"), path: "m")
    for rows in [4, 7, 260] { try tokenizer.check(rows: rows, path: "m") }
    for rows in [3, 261, 32_003] {
      let reason = "it has 4 pieces, the model embeds \(rows): as many and at most 256 more are expected"
      #expect(throws: OspreyError.tokenizer(path: "m", reason: reason)) { try tokenizer.check(rows: rows, path: "m") }
    }
  }

  @Test func cutAtEvery64KiBIsRefused() {
    let whole = specials + (0..<200_000).flatMap { piece("piece\($0)") } + trainer
    #expect(whole.count > 3 << 20)
    #expect(reason(whole) == nil)
    for length in stride(from: 0, to: whole.count, by: 1 << 16) {
      let reason = reason(Array(whole.prefix(length)))
      // A cut between two pieces leaves a whole message.
      #expect(
        reason?.contains("cut short") == true || reason?.contains("are left") == true
          || reason?.hasSuffix("and then ends, without a trainer_spec") == true, "cut at \(length): \(reason ?? "read")"
      )
    }
  }

  @Test func messagesThatLieAreRefused() {
    let ten = [UInt8](repeating: 0xff, count: 10)
    #expect(reason(ten) == "a number has more than ten bytes")
    #expect(reason([0x0a] + ten) == "a number has more than ten bytes")
    // A field of 2⁶³ − 1 bytes, and one of 2⁶⁴ − 1.
    let most = [UInt8](repeating: 0xff, count: 8) + [0x7f]
    #expect(reason([0x0a] + most) == "a field of 9223372036854775807 bytes, where 0 are left")
    #expect(
      reason([0x0a] + [UInt8](repeating: 0xff, count: 9) + [0x01])
        == "a field of 18446744073709551615 bytes, where 0 are left")
    #expect(reason([0x0a, 0x05, 0x0a]) == "a field of 5 bytes, where 1 are left")
    #expect(reason([0x00]) == "a field has the number 0")
    #expect(reason([0x0b]) == "a field of wire type 3")
    #expect(reason([0x0d, 1, 2]) == "it is cut short: 4 bytes wanted, 2 left")
  }

  @Test func vocabulariesThatAreNoneAreRefused() {
    #expect(reason([]) == "it has 0 pieces and then ends, without a trainer_spec")
    #expect(reason(specials + field(2, field(3, 1))) == "its model type is 1, not 2 (BPE)")
    #expect(reason(trainer) == "it has no pieces")
    #expect(reason(piece("a") + trainer) == "it has no unknown piece")
    #expect(reason(specials + piece("<unk>", kind: 2) + trainer) == "it has two unknown pieces")
    #expect(reason(piece("<unk>", kind: 2) + trainer) == "it has no control pieces <s> and </s>")
    #expect(reason(specials + piece("a") + piece("a") + trainer) == "it has the piece 'a' twice")
    #expect(reason(specials + piece("") + trainer) == "a piece is empty")
    #expect(reason(specials + piece("a", kind: 9) + trainer) == "a piece has the type 9")
    #expect(
      reason(specials + piece("<0x41>", kind: 6) + trainer)
        == "its byte piece 3 is not of the form <0x41>, or it has no fallback")
    #expect(reason(specials + piece("a") + field(2, field(3, 2) + field(35, 1))) == "some bytes have no piece")
    let score = field(1, field(1, Array("a".utf8)) + [0x15, 0, 0, 0xc0, 0x7f])
    #expect(reason(specials + score + trainer) == "a piece's score is not a number")
    let pieces = [[UInt8]](repeating: [0x0a, 3, 0x0a, 1, 0x61], count: 1 << 20 + 1)
    #expect(reason(Array(pieces.joined()) + trainer) == "it has more than 1048576 pieces")
  }
}
