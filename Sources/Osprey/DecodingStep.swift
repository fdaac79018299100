import Tensors

/// One step of all active sequences.
struct DecodingStep {
  private let llama: Llama
  /// Those that move, neighbours by prefix.
  private var sequences: [DecodingSequence] = []
  private var rows: [Tensor?] = []

  init(_ llama: Llama, _ active: [DecodingSequence], promptRows: Int) {
    self.llama = llama
    var left = promptRows
    var moving: [(sequence: DecodingSequence, rows: Tensor?)] = []
    for sequence in active {
      if !sequence.isPrompting {
        moving.append((sequence, nil))
      } else if left > 0 {
        let rows = sequence.nextRows(limit: left)
        left -= rows.shape[0]
        moving.append((sequence, rows))
      }
    }
    // Together by prefix, in the order in which the prefixes first come.
    var taken = Array(repeating: false, count: moving.count)
    for i in moving.indices where !taken[i] {
      for j in i..<moving.count where !taken[j] && moving[i].sequence.sharesPrefix(moving[j].sequence) {
        taken[j] = true
        sequences.append(moving[j].sequence)
        rows.append(moving[j].rows)
      }
    }
  }

  /// - Returns: how many words were drawn.
  func run() -> Int {
    let ids = sequences.compactMap(\.newest)
    let words = ids.isEmpty ? nil : llama.embed(ids)
    var (parts, shares, word) = ([Tensor](), [Llama.Share](), 0)
    for (sequence, rows) in zip(sequences, rows) {
      if let rows {
        let endsPrompt = sequence.rowsLeft == rows.shape[0]
        parts.append(rows)
        shares.append(
          Llama.Share(
            rows: rows.shape[0], prefix: sequence.prefix, wanted: endsPrompt && sequence.maxTokens > 0 ? 1 : 0))
      } else if let words {
        parts.append(words.rows(word..<word + 1))
        shares.append(Llama.Share(rows: 1, prefix: sequence.prefix, wanted: 1))
        word += 1
      }
    }
    var caches: [KeyValueCache] = []
    for sequence in sequences { caches.append(sequence.lendCache()) }
    let hidden = llama.forward(.concatenated(parts), shares, caches: &caches)
    let logits = hidden.shape[0] > 0 ? llama.logits(hidden) : hidden
    var row = 0
    for (i, sequence) in sequences.enumerated() {
      let share = shares[i]
      sequence.take(
        caches[i], rows: share.rows, logits: share.wanted > 0 ? logits.row(row) : nil, llama.configuration)
      row += share.wanted
    }
    return row
  }
}

extension DecodingSequence {
  fileprivate func sharesPrefix(_ other: DecodingSequence) -> Bool {
    switch (prefix, other.prefix) {
    case (nil, nil): true
    case (let mine?, let theirs?): mine.count == theirs.count && mine.cache.isSame(as: theirs.cache)
    default: false
    }
  }
}
