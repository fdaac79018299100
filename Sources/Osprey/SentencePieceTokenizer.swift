/// A SentencePiece BPE tokenizer with byte fallback, as LLaMA's. Ids are positions in the model file.
public struct SentencePieceTokenizer: Sendable {
  let model: SentencePieceModel
  /// Pieces that text may become. Slices of one array, so that a lookup allocates nothing.
  let ids: [ArraySlice<UInt8>: Int]
  /// Pieces that are cut out of text before any merging.
  let userDefined: [ArraySlice<UInt8>: Int]
  let longestPiece: Int
  let longestUserDefined: Int
  /// The id of each byte's piece, with byte fallback.
  let byteIds: [Int]
  let byteOfId: [Int: UInt8]
  let unknownId: Int
  /// The ids of `<s>` and `</s>`.
  public let beginningId: Int
  public let endId: Int

  /// How many ids there are; `<mask>` and `<pos>` are the next two.
  public var vocabularySize: Int { model.pieces.count }
  public var maskId: Int { vocabularySize }
  public var positionId: Int { vocabularySize + 1 }

  /// Added tokens (Osprey's are `<mask>`, `<pos>` and `[UNK]`) and padding that a model embeds beyond its pieces.
  private static let addedLimit = 256

  /// Refuses a tokenizer of another vocabulary than the model's.
  ///
  /// - Parameter rows: how many tokens the model embeds.
  func check(rows: Int, path: String) throws(OspreyError) {
    guard vocabularySize <= rows, rows <= vocabularySize + Self.addedLimit else {
      throw .tokenizer(
        path: path,
        reason:
          "it has \(vocabularySize) pieces, the model embeds \(rows): as many and at most \(Self.addedLimit) more are expected"
      )
    }
  }

  public init(path: String) throws(OspreyError) { try self.init(SentencePieceModel(path: path), path: path) }

  init(_ model: SentencePieceModel, path: String) throws(OspreyError) {
    var (ids, userDefined): ([ArraySlice<UInt8>: Int], [ArraySlice<UInt8>: Int]) = ([:], [:])
    var control: [ArraySlice<UInt8>: Int] = [:]
    var (byteIds, byteOfId, unknown): ([Int], [Int: UInt8], Int?) = (Array(repeating: -1, count: 256), [:], nil)
    for (id, piece) in model.pieces.enumerated() {
      switch piece.kind {
      case .normal, .userDefined, .unused:
        guard ids.updateValue(id, forKey: piece.text) == nil else {
          throw .tokenizer(
            path: path, reason: "it has the piece '\(String(decoding: piece.text, as: UTF8.self))' twice")
        }
        if piece.kind == .userDefined { userDefined[piece.text] = id }
      case .unknown:
        guard unknown == nil else { throw .tokenizer(path: path, reason: "it has two unknown pieces") }
        unknown = id
      case .control: control[piece.text] = id
      case .byte:
        guard let byte = Self.byte(named: piece.text), model.byteFallback else {
          throw .tokenizer(path: path, reason: "its byte piece \(id) is not of the form <0x41>, or it has no fallback")
        }
        byteIds[Int(byte)] = id
        byteOfId[id] = byte
      }
    }
    guard let unknown else { throw .tokenizer(path: path, reason: "it has no unknown piece") }
    if model.byteFallback, byteIds.contains(-1) { throw .tokenizer(path: path, reason: "some bytes have no piece") }
    guard let beginning = control[Array("<s>".utf8)[...]], let end = control[Array("</s>".utf8)[...]] else {
      throw .tokenizer(path: path, reason: "it has no control pieces <s> and </s>")
    }
    (self.model, self.ids, self.userDefined) = (model, ids, userDefined)
    (self.byteIds, self.byteOfId, unknownId) = (byteIds, byteOfId, unknown)
    (beginningId, endId) = (beginning, end)
    longestPiece = ids.keys.reduce(0) { max($0, $1.count) }
    longestUserDefined = userDefined.keys.reduce(0) { max($0, $1.count) }
  }

  /// The byte of `<0x41>`.
  private static func byte(named text: ArraySlice<UInt8>) -> UInt8? {
    let name = String(decoding: text, as: UTF8.self)
    guard name.count == 6, name.hasPrefix("<0x"), name.hasSuffix(">") else { return nil }
    return UInt8(name.dropFirst(3).dropLast(), radix: 16)
  }

  /// Whether an id stands for no text: `<s>`, `</s>`, unknown, or beyond the vocabulary.
  public func isSpecial(_ id: Int) -> Bool {
    guard model.pieces.indices.contains(id) else { return true }
    return model.pieces[id].kind == .control || model.pieces[id].kind == .unknown
  }
}
