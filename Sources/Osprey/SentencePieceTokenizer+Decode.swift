extension SentencePieceTokenizer {
  /// The text of ids, as `SentencePieceProcessor.decode` gives it: control pieces vanish, unknown ones become ` ⁇ `,
  /// byte pieces join to characters, and the first `▁` is not a space. Ids beyond the vocabulary vanish.
  public func decode(_ ids: [Int]) -> String {
    var (text, bytes): ([UInt8], [UInt8]) = ([], [])
    var (isAtStart, sawFirstSpace) = (true, false)
    let marker = Array("\u{2581}".utf8)
    for id in ids {
      if let byte = byteOfId[id] {
        bytes.append(byte)
        continue
      }
      guard model.pieces.indices.contains(id) else { continue }
      Self.flush(&bytes, into: &text)
      if sawFirstSpace || !text.isEmpty { isAtStart = false }
      sawFirstSpace = false
      let piece = model.pieces[id]
      switch piece.kind {
      case .control: continue
      case .unknown: text += model.unknownSurface
      default:
        var rest = piece.text
        if isAtStart, model.addDummyPrefix || model.removeExtraWhitespaces, rest.starts(with: marker) {
          rest = rest.dropFirst(marker.count)
          sawFirstSpace = !model.removeExtraWhitespaces
        }
        while let byte = rest.first {
          let isMarker = rest.starts(with: marker)
          text.append(isMarker ? 0x20 : byte)
          rest = rest.dropFirst(isMarker ? marker.count : 1)
        }
      }
    }
    Self.flush(&bytes, into: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Appends a run of byte pieces: whole characters as they are, U+FFFD for every byte that belongs to none.
  private static func flush(_ bytes: inout [UInt8], into text: inout [UInt8]) {
    var rest = bytes[...]
    while let lead = rest.first {
      let length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
      let character = rest.prefix(length)
      if String(validating: character, as: UTF8.self)?.unicodeScalars.count == 1 {
        text += character
        rest = rest.dropFirst(length)
      } else {
        text += Array("\u{fffd}".utf8)
        rest = rest.dropFirst()
      }
    }
    bytes.removeAll(keepingCapacity: true)
  }
}
