import Checkpoints

/// A SentencePiece model file, `tokenizer.model`: its pieces and how text is prepared for them. Source: the message
/// `ModelProto` of google/sentencepiece's `sentencepiece_model.proto`.
struct SentencePieceModel: Sendable {
  enum Kind: UInt64, Sendable {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
  }

  struct Piece: Sendable {
    /// UTF-8, with `▁` for a space.
    var text: ArraySlice<UInt8> = []
    var score: Float = 0
    var kind = Kind.normal
  }

  var pieces: [Piece] = []
  var modelType: UInt64 = 1
  var byteFallback = false
  var treatWhitespaceAsSuffix = false
  var unknownSurface = defaultUnknownSurface
  var addDummyPrefix = true
  var removeExtraWhitespaces = true
  var escapeWhitespaces = true
  var normalizationMap = false

  static let defaultUnknownSurface = Array(" \u{2047} ".utf8)

  /// Far above the largest vocabularies in use (256,000).
  private static let pieceLimit = 1 << 20
  private static let fileLimit = 1 << 25

  init(path: String) throws(OspreyError) {
    let file = try reading { () throws(CheckpointError) in try MappedFile(path: path) }
    guard file.bytes.count <= Self.fileLimit else { throw .tokenizer(path: path, reason: "it is larger than 32 MiB") }
    try self.init(bytes: Array(file.bytes), path: path)
  }

  init(bytes: [UInt8], path: String) throws(OspreyError) {
    do {
      try parse(bytes[...])
    } catch {
      throw .tokenizer(path: path, reason: error.reason)
    }
    let bpe: UInt64 = 2
    guard modelType == bpe else { throw .tokenizer(path: path, reason: "its model type is \(modelType), not 2 (BPE)") }
    guard !pieces.isEmpty else { throw .tokenizer(path: path, reason: "it has no pieces") }
    if normalizationMap { throw .tokenizer(path: path, reason: "it normalises characters; LLaMA's uses 'identity'") }
    if treatWhitespaceAsSuffix { throw .tokenizer(path: path, reason: "it treats whitespace as a suffix") }
  }

  private mutating func parse(_ bytes: ArraySlice<UInt8>) throws(ProtobufReader.Malformed) {
    var (reader, hasTrainer) = (ProtobufReader(bytes), false)
    while let (field, value) = try reader.next() {
      guard case .bytes(let message) = value else { continue }
      switch field {
      case 1:
        guard pieces.count < Self.pieceLimit else {
          throw ProtobufReader.Malformed(reason: "it has more than \(Self.pieceLimit) pieces")
        }
        pieces.append(try Self.piece(message))
      case 2:
        hasTrainer = true
        try parseTrainer(message)
      case 3: try parseNormalizer(message)
      default: break
      }
    }
    guard hasTrainer else {
      throw ProtobufReader.Malformed(reason: "it has \(pieces.count) pieces and then ends, without a trainer_spec")
    }
  }

  private static func piece(_ bytes: ArraySlice<UInt8>) throws(ProtobufReader.Malformed) -> Piece {
    var (reader, piece) = (ProtobufReader(bytes), Piece())
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (1, .bytes(let text)): piece.text = text
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .varint(let kind)):
        guard let kind = Kind(rawValue: kind) else {
          throw ProtobufReader.Malformed(reason: "a piece has the type \(kind)")
        }
        piece.kind = kind
      default: break
      }
    }
    guard !piece.text.isEmpty else { throw ProtobufReader.Malformed(reason: "a piece is empty") }
    guard !piece.score.isNaN else { throw ProtobufReader.Malformed(reason: "a piece's score is not a number") }
    return piece
  }

  private mutating func parseTrainer(_ bytes: ArraySlice<UInt8>) throws(ProtobufReader.Malformed) {
    var reader = ProtobufReader(bytes)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (3, .varint(let type)): modelType = type
      case (24, .varint(let flag)): treatWhitespaceAsSuffix = flag != 0
      case (35, .varint(let flag)): byteFallback = flag != 0
      case (44, .bytes(let text)): unknownSurface = Array(text)
      default: break
      }
    }
  }

  private mutating func parseNormalizer(_ bytes: ArraySlice<UInt8>) throws(ProtobufReader.Malformed) {
    var reader = ProtobufReader(bytes)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (2, .bytes(let map)): normalizationMap = !map.isEmpty
      case (3, .varint(let flag)): addDummyPrefix = flag != 0
      case (4, .varint(let flag)): removeExtraWhitespaces = flag != 0
      case (5, .varint(let flag)): escapeWhitespaces = flag != 0
      default: break
      }
    }
  }
}
