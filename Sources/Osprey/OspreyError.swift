import Checkpoints

/// What can be wrong with a labeler's files or with a request to it.
public enum OspreyError: Error, Equatable, Sendable {
  case checkpoint(CheckpointError)
  /// `config.json` cannot be read, or asks for what this program does not do.
  case configuration(path: String, reason: String)
  /// `tokenizer.model` is no SentencePiece BPE model that this program reads.
  case tokenizer(path: String, reason: String)
  /// A tensor that is to be quantised is so already.
  case quantized(path: String, tensor: String, type: String)
  /// No vision trunk, mask extractor or language model was found where it should be.
  case notFound(what: String, path: String)
  /// A question names another number of regions than there are masks.
  case regionCount(inQuestion: Int, masks: Int)
  /// A question uses `<regionN>` wrongly: mixed with `<mask><pos>`, or N is not one of 1…masks.
  case regionPlaceholder(reason: String)
  case maskSize(expectedWidth: Int, expectedHeight: Int, width: Int, height: Int)
  case imageSize(width: Int, height: Int)
  /// The prompt with its picture and at least one word of answer does not fit the model's context.
  case promptTooLong(tokens: Int, limit: Int)
  case maxTokens(Int, limit: Int)
  /// A temperature or a probability out of its range.
  case sampling(reason: String)
  /// A vocabulary is empty, too long, or has an entry that is.
  case vocabulary(reason: String)
  case cancelled
}

extension OspreyError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .checkpoint(let error): error.description
    case .configuration(let path, let reason): "\(path): \(reason)"
    case .tokenizer(let path, let reason): "\(path) is not a tokenizer this program reads: \(reason)"
    case .quantized(let path, let tensor, let type):
      "\(path): tensor '\(tensor)' is \(type) already; quantise the file of f16 or f32 that it was made from"
    case .notFound(let what, let path): "\(path) has no \(what)"
    case .regionCount(let inQuestion, let masks):
      "the question names \(inQuestion) regions, but \(masks) masks were given; write <mask><pos> once for each mask"
    case .regionPlaceholder(let reason): "the question's regions: \(reason)"
    case .maskSize(let expectedWidth, let expectedHeight, let width, let height):
      "the mask is \(width)×\(height), its picture is \(expectedWidth)×\(expectedHeight) (width×height)"
    case .imageSize(let width, let height): "a picture of \(width)×\(height) is too small or too elongated"
    case .promptTooLong(let tokens, let limit): "the prompt has \(tokens) tokens, the model takes \(limit)"
    case .maxTokens(let value, let limit): "max_tokens is \(value), it must be 1…\(limit)"
    case .sampling(let reason): reason
    case .vocabulary(let reason): "the vocabulary \(reason)"
    case .cancelled: "cancelled"
    }
  }
}

/// Runs `body`, passing a checkpoint's error on as this room's.
func reading<R>(_ body: () throws(CheckpointError) -> R) throws(OspreyError) -> R {
  do { return try body() } catch { throw .checkpoint(error) }
}
