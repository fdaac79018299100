/// Osprey's conversation around a question: template `osprey_v1` [osprey/conversation.py] and the demo's opening
/// [demo/osprey_inference.py].
enum PromptTemplate {
  /// Reported in answers' evidence.
  static let name = "osprey_v1"
  static let beforeImage =
    "A chat between a curious human and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the human's questions. USER: "
  static let overview = "\n\nThis provides an overview of the picture.\n"
  static let afterQuestion = " ASSISTANT:"
  /// Before each question but the first.
  static let beforeQuestion = "USER: "

  /// A place in a prompt behind the picture.
  enum Slot: Equatable {
    case token(Int)
    /// The two vectors of the mask of this index.
    case region(Int)
  }

  /// `<s>` and everything before the picture.
  static func prefix(_ tokenizer: SentencePieceTokenizer) -> [Int] {
    [tokenizer.beginningId] + tokenizer.encode(beforeImage)
  }

  /// Everything behind the picture: question and answer in turn, `</s>` behind each answer, the last question open. The
  /// text between two special tokens is tokenised apart, so that each stretch begins with its own `▁`, as the fast LLaMA
  /// tokenizer does it.
  static func suffix(_ turns: [Question.PromptTurn], _ tokenizer: SentencePieceTokenizer) -> [Slot] {
    var (slots, text) = ([Slot](), overview)
    func flush() {
      slots += tokenizer.encode(text).map { .token($0) }
      text = ""
    }
    for turn in turns {
      for part in turn.parts {
        switch part {
        case .text(let piece): text += piece
        case .region(let index):
          flush()
          slots.append(.region(index))
        }
      }
      text += afterQuestion
      guard let answer = turn.answer else { continue }
      text += " " + answer
      flush()
      slots.append(.token(tokenizer.endId))
      text = beforeQuestion
    }
    flush()
    return slots
  }
}
