import Tensors

extension Llama {
  /// What stands before a sequence's own positions, shared with others: a cache, and how much of it counts.
  typealias Prefix = (cache: KeyValueCache, count: Int)

  /// What one sequence brings to a step.
  struct Share {
    /// How many rows are new.
    var rows: Int
    var prefix: Prefix?
    /// How many of the new rows, counted from the last, are wanted behind the last layer.
    var wanted: Int
  }

  /// Runs the newest tokens of several sequences, each behind a prefix of its own or shared. Every weight is read once for
  /// all of them; so is a prefix that neighbours share.
  ///
  /// - Parameters:
  ///   - x: `[Σ rows, D]`, sequence after sequence.
  ///   - caches: what each sequence has behind its prefix; grows by its rows.
  /// - Returns: the wanted hidden states before the last norm, `[Σ wanted, D]`.
  func forward(_ x: Tensor, _ shares: [Share], caches: inout [KeyValueCache]) -> Tensor {
    let c = configuration
    precondition(shares.count == caches.count && x.shape[0] == shares.reduce(0) { $0 + $1.rows })
    var (positions, wanted) = ([Int](), [Range<Int>]())
    for (share, cache) in zip(shares, caches) {
      let start = (share.prefix?.count ?? 0) + cache.count
      if share.wanted > 0 { wanted.append(positions.count + share.rows - share.wanted..<positions.count + share.rows) }
      positions += start..<start + share.rows
    }
    let (cosines, sines) = rotary.angles(positions)
    let scale = 1 / Float(c.headSize).squareRoot()

    var x = x
    for (i, layer) in layers.enumerated() {
      let normalized = x.rmsNormalized(weight: layer.inputNorm, epsilon: c.rmsNormEpsilon)
      var (queries, keys) = (layer.query(normalized), layer.key(normalized))
      let values = layer.value(normalized)
      queries.rotate(cosines: cosines, sines: sines, heads: c.heads, pairing: c.ropePairing)
      keys.rotate(cosines: cosines, sines: sines, heads: c.keyValueHeads, pairing: c.ropePairing)
      var row = 0
      for (s, share) in shares.enumerated() {
        let rows = row..<row + share.rows
        caches[s].write(keys.rows(rows), values.rows(rows), layer: i)
        row += share.rows
      }
      let isLast = i == layers.count - 1
      // Of what is only cached, the last layer's keys and values were the last to be missed.
      if isLast, wanted.isEmpty { break }
      let sequences = zip(shares, caches).map { share, cache in
        AttendingSequence(
          rows: share.rows, prefix: share.prefix.map { $0.cache.segment(layer: i, limit: $0.count) },
          own: cache.segment(layer: i, pending: share.rows))
      }
      var attended = Tensor.causalAttention(
        queries: queries, sequences: sequences, heads: c.heads, keyHeads: c.keyValueHeads, scale: scale)
      if isLast { (x, attended) = (x.picking(wanted), attended.picking(wanted)) }
      x.add(layer.output(attended))
      let inner = x.rmsNormalized(weight: layer.attentionNorm, epsilon: c.rmsNormEpsilon)
      var hidden = layer.gate(inner)
      hidden.siluMultiply(layer.up(inner))
      x.add(layer.down(hidden))
    }
    for (s, share) in shares.enumerated() { caches[s].advance(by: share.rows) }
    return wanted.isEmpty ? Tensor([0, c.hiddenSize]) : x
  }

  /// The same for sequences that all continue one prefix, with all rows wanted: `[Σ lengths, D]`.
  func forward(_ x: Tensor, lengths: [Int], prefix: Prefix?, caches: inout [KeyValueCache]) -> Tensor {
    forward(x, lengths.map { Share(rows: $0, prefix: prefix, wanted: $0) }, caches: &caches)
  }
}

extension Tensor {
  /// Some rows, one range after the other; the tensor itself if those are all.
  fileprivate func picking(_ ranges: [Range<Int>]) -> Tensor {
    if ranges.reduce(0, { $0 + $1.count }) == shape[0] { return self }
    return .concatenated(ranges.map { rows($0) })
  }
}
