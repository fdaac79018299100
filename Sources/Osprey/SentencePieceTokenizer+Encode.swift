extension SentencePieceTokenizer {
  /// The ids of a text, without `<s>`. Special tokens written out in the text are text.
  ///
  /// Time n·log n, memory n.
  public func encode(_ text: String) -> [Int] {
    let normalized = normalize(text)
    var output: [Int] = []
    for symbol in merge(normalized) { append(normalized[symbol.range], id: symbol.id, to: &output) }
    return output
  }

  /// `▁` for spaces and in front. [normalizer.cc]
  private func normalize(_ text: String) -> [UInt8] {
    let space = model.escapeWhitespaces ? Array("\u{2581}".utf8) : [0x20]
    var bytes = Array(text.utf8)[...]
    if model.removeExtraWhitespaces {
      bytes = bytes.drop { $0 == 0x20 }
      while bytes.last == 0x20 { bytes.removeLast() }
    }
    guard !bytes.isEmpty else { return [] }
    var result: [UInt8] = model.addDummyPrefix ? space : []
    result.reserveCapacity(bytes.count + bytes.count / 2)
    var previousIsSpace = false
    for byte in bytes {
      if byte != 0x20 {
        result.append(byte)
      } else if !(model.removeExtraWhitespaces && previousIsSpace) {
        result += space
      }
      previousIsSpace = byte == 0x20
    }
    // A `▁` that was written out counts as a space here, and only here.
    while model.removeExtraWhitespaces, result.suffix(space.count).elementsEqual(space) {
      result.removeLast(space.count)
    }
    return result
  }

  /// A stretch of the normalised text; symbols form a list that merging shortens.
  private struct Symbol {
    var start: Int
    var end: Int
    var previous: Int
    var next: Int
    /// Cut out as a user's own piece: never merged.
    var isFrozen = false

    var isMerged: Bool { start == end }
  }

  /// Two neighbours that a piece would join; `size` tells whether they have changed since.
  private struct Candidate: Comparable {
    let score: Float
    let left: Int
    let right: Int
    let size: Int

    /// Better first: higher score, then further left.
    static func < (a: Candidate, b: Candidate) -> Bool { a.score > b.score || (a.score == b.score && a.left < b.left) }
  }

  private func merge(_ text: [UInt8]) -> [(range: Range<Int>, id: Int?)] {
    var symbols = split(text)
    var agenda = Heap<Candidate>()
    /// How pieces that the model marks as unused came about, to take them apart again.
    var halves: [Range<Int>: Int] = [:]

    func consider(_ left: Int, _ right: Int) {
      guard left >= 0, right >= 0, !symbols[left].isFrozen, !symbols[right].isFrozen else { return }
      let (start, end) = (symbols[left].start, symbols[right].end)
      guard end - start <= longestPiece, let id = ids[text[start..<end]] else { return }
      agenda.push(Candidate(score: model.pieces[id].score, left: left, right: right, size: end - start))
      if model.pieces[id].kind == .unused { halves[start..<end] = symbols[right].start }
    }

    for i in symbols.indices.dropFirst() { consider(i - 1, i) }
    while let best = agenda.pop() {
      let (left, right) = (symbols[best.left], symbols[best.right])
      guard !left.isMerged, !right.isMerged, right.end - left.start == best.size else { continue }
      symbols[best.left].end = right.end
      symbols[best.left].next = right.next
      if right.next >= 0 { symbols[right.next].previous = best.left }
      symbols[best.right].end = right.start
      consider(left.previous, best.left)
      consider(best.left, right.next)
    }

    var output: [(range: Range<Int>, id: Int?)] = []
    for symbol in symbols where !symbol.isMerged {
      var pending = [symbol.start..<symbol.end]
      while let range = pending.popLast() {
        let id = ids[text[range]]
        if let id, model.pieces[id].kind == .unused, let middle = halves[range] {
          pending.append(middle..<range.upperBound)
          pending.append(range.lowerBound..<middle)
        } else {
          output.append((range, id))
        }
      }
    }
    return output
  }

  /// Into characters, and the user's own pieces whole.
  private func split(_ text: [UInt8]) -> [Symbol] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(text.count)
    var position = 0
    while position < text.count {
      var end = position + 1
      var isFrozen = false
      if let length = userDefinedLength(text, at: position) {
        (end, isFrozen) = (position + length, true)
      } else {
        while end < text.count, text[end] & 0xc0 == 0x80 { end += 1 }
      }
      symbols.append(
        Symbol(
          start: position, end: end, previous: symbols.count - 1, next: end < text.count ? symbols.count + 1 : -1,
          isFrozen: isFrozen))
      position = end
    }
    return symbols
  }

  private func userDefinedLength(_ text: [UInt8], at position: Int) -> Int? {
    guard !userDefined.isEmpty else { return nil }
    let longest = min(longestUserDefined, text.count - position)
    return stride(from: longest, to: 0, by: -1).first { userDefined[text[position..<position + $0]] != nil }
  }

  /// A character without a piece becomes its bytes' pieces, or one unknown piece for a run of such characters.
  private func append(_ piece: ArraySlice<UInt8>, id: Int?, to output: inout [Int]) {
    if let id {
      output.append(id)
    } else if model.byteFallback {
      output += piece.map { byteIds[Int($0)] }
    } else if output.last != unknownId {
      output.append(unknownId)
    }
  }
}

/// A binary heap; `pop` gives the least element.
private struct Heap<Element: Comparable> {
  private var elements: [Element] = []

  mutating func push(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, elements[child] < elements[(child - 1) / 2] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let first = elements.first else { return last }
    elements[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < elements.count && elements[child] < elements[least] { least = child }
      if least == parent { return first }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
