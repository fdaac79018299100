import Checkpoints

/// A SentencePiece vocabulary in a GGUF's metadata, `tokenizer.ggml.…`, whose token types are SentencePiece's. Source:
/// llama.cpp's conversion of LLaMA and llama-vocab.cpp.
extension SentencePieceModel {
  /// The scores that llama.cpp's conversion gives to what is not in `tokenizer.model`: added tokens and fillers.
  private static let addedScore: Float = -1000
  private static let fillerScore: Float = -10000

  /// - Parameter rows: how many tokens the model embeds; the list must have as many.
  init(_ file: GGUFFile, rows: Int) throws(OspreyError) {
    let path = file.path
    func read<T>(_ body: () throws(CheckpointError) -> T?) throws(OspreyError) -> T? { try reading(body) }
    func required<T>(_ key: String, _ body: () throws(CheckpointError) -> T?) throws(OspreyError) -> T {
      guard let value = try reading(body) else { throw .tokenizer(path: path, reason: "it has no '\(key)'") }
      return value
    }
    let model = try read { () throws(CheckpointError) in try file.string("tokenizer.ggml.model") } ?? ""
    guard model == "llama" else {
      throw .tokenizer(path: path, reason: "'tokenizer.ggml.model' is '\(model)', not 'llama'")
    }
    let (tokensKey, scoresKey, typesKey) = (
      "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"
    )
    let texts = try required(tokensKey) { () throws(CheckpointError) in try file.strings(tokensKey) }
    let scores = try required(scoresKey) { () throws(CheckpointError) in try file.numbers(scoresKey) }
    let types = try required(typesKey) { () throws(CheckpointError) in try file.integers(typesKey) }
    for (key, count) in [(scoresKey, scores.count), (typesKey, types.count)] where count != texts.count {
      throw .tokenizer(path: path, reason: "'\(key)' has \(count) values for \(texts.count) tokens")
    }
    guard texts.count == rows else {
      throw .tokenizer(path: path, reason: "'\(tokensKey)' has \(texts.count) tokens, the model embeds \(rows)")
    }
    modelType = 2
    for (id, text) in texts.enumerated() {
      guard !text.isEmpty else { throw .tokenizer(path: path, reason: "token \(id) is empty") }
      guard scores[id].isFinite else { throw .tokenizer(path: path, reason: "token \(id)'s score is \(scores[id])") }
      guard let kind = Kind(rawValue: types[id] == 0 ? 1 : UInt64(clamping: types[id])) else {
        throw .tokenizer(path: path, reason: "token \(id) has the type \(types[id])")
      }
      pieces.append(Piece(text: text, score: scores[id], kind: kind))
    }
    while let last = pieces.last, Self.isAdded(last) { pieces.removeLast() }
    guard !pieces.isEmpty else { throw .tokenizer(path: path, reason: "it has no pieces") }
    byteFallback = pieces.contains { $0.kind == .byte }
    // Where a file says nothing, llama.cpp does as LLaMA's own tokenizer does.
    addDummyPrefix = try read { () throws(CheckpointError) in try file.bool("tokenizer.ggml.add_space_prefix") } ?? true
    removeExtraWhitespaces =
      try read { () throws(CheckpointError) in try file.bool("tokenizer.ggml.remove_extra_whitespaces") } ?? false
    let surface = try read { () throws(CheckpointError) in try file.string("osprey.unknown_surface") }
    if let surface { unknownSurface = Array(surface.utf8) }
  }

  /// Whether a token of a GGUF stands for an embedding beyond the pieces of `tokenizer.model`.
  private static func isAdded(_ piece: Piece) -> Bool {
    switch piece.kind {
    case .userDefined, .control: piece.score == addedScore
    case .unused: piece.score == fillerScore
    default: false
    }
  }

  /// - Parameter rows: how many tokens the model embeds; those beyond the pieces are `<mask>`, `<pos>` and fillers.
  func metadata(rows: Int, beginningId: Int, endId: Int, unknownId: Int) -> [(key: String, value: GGUFValue)] {
    var tokens = pieces
    var texts = Set(pieces.map(\.text))
    for added in ["<mask>", "<pos>"] where tokens.count < rows {
      // llama.cpp finds tokens by their texts, so that none may come twice.
      guard texts.insert(Array(added.utf8)[...]).inserted else { break }
      tokens.append(Piece(text: Array(added.utf8)[...], score: Self.addedScore, kind: .userDefined))
    }
    while tokens.count < rows {
      tokens.append(Piece(text: Array("[PAD\(tokens.count)]".utf8)[...], score: Self.fillerScore, kind: .unused))
    }
    var result: [(key: String, value: GGUFValue)] = [
      ("tokenizer.ggml.model", .string("llama")), ("tokenizer.ggml.pre", .string("default")),
      ("tokenizer.ggml.tokens", .strings(tokens.map { Array($0.text) })),
      ("tokenizer.ggml.scores", .float32s(tokens.map(\.score))),
      ("tokenizer.ggml.token_type", .int32s(tokens.map { Int32($0.kind.rawValue) })),
      ("tokenizer.ggml.bos_token_id", .uint32(UInt32(beginningId))),
      ("tokenizer.ggml.eos_token_id", .uint32(UInt32(endId))),
      ("tokenizer.ggml.unknown_token_id", .uint32(UInt32(unknownId))),
      ("tokenizer.ggml.add_bos_token", .bool(true)), ("tokenizer.ggml.add_eos_token", .bool(false)),
      ("tokenizer.ggml.add_space_prefix", .bool(addDummyPrefix)),
      ("tokenizer.ggml.remove_extra_whitespaces", .bool(removeExtraWhitespaces)),
    ]
    if unknownSurface != SentencePieceModel.defaultUnknownSurface {
      result.append(("osprey.unknown_surface", .string(String(decoding: unknownSurface, as: UTF8.self))))
    }
    return result
  }
}
