import Checkpoints
import Layers

/// A labeler as one file: what goes to the first GGUF, which llama.cpp reads, and to the one behind it.
public struct PackedOsprey: Sendable {
  public var language: GGUFContent
  /// None of a file that is a language model alone.
  public var companion: GGUFContent?

  /// Writes both, reads them back, and only then gives the file its name.
  ///
  /// - Parameter progress: called with the bytes that are written, and those that will be.
  public func write(to path: String, progress: (Int, Int) -> Void = { _, _ in }) throws(OspreyError) {
    try reading { () throws(CheckpointError) in
      try writeGGUF(
        language, companion: companion.map { (PackedCheckpoint.companionName, $0) }, to: path, progress: progress)
    }
  }
}

extension OspreySource {
  /// The same labeler as one file's content.
  ///
  /// llama.cpp refuses a file with tensors that it does not know, so that vision trunk, projector and mask extractor go to
  /// a second GGUF behind the first, where it does not look.
  ///
  /// - Parameters:
  ///   - type: of the language model's matrices, float32, float16 or bfloat16. What sees is float32 with float32, else
  ///     float16; vectors are float32.
  ///   - name: for the metadata.
  public func packed(as type: ElementType, name: String) throws(OspreyError) -> PackedOsprey {
    precondition([.float32, .float16, .bfloat16].contains(type))
    let config = try LlamaConfiguration(path: configuration)
    let pieces = try SentencePieceTokenizer(path: tokenizer)
    let companion = try companion(config, as: type == .float32 ? .float32 : .float16)
    let rows = try rows(config, pieces)
    guard pieces.model.escapeWhitespaces else {
      throw .tokenizer(path: tokenizer, reason: "it keeps spaces as they are, which GGUF cannot tell")
    }
    var language = GGUFContent()
    language.metadata =
      [
        ("general.architecture", .string(LlamaConfiguration.architecture)), ("general.type", .string("model")),
        ("general.name", .string(name)), ("general.quantization_version", .uint32(2)),
        ("general.file_type", .uint32(GGUFFileType.code(of: type))),
      ] + config.metadata(rows: rows) + config.ospreyMetadata
      + pieces.model.metadata(
        rows: rows, beginningId: pieces.beginningId, endId: pieces.endId, unknownId: pieces.unknownId)
      + preprocessor.metadata + calibration.metadata
    language.tensors = try languageTensors(config, rows: rows, as: type)
    return PackedOsprey(language: language, companion: companion)
  }

  /// The same with a language model that is a GGUF file already, such as one that llama.cpp quantised: its tensors,
  /// configuration and tokenizer, with this source's vision trunk, projector and mask extractor.
  public func packed(around path: String) throws(OspreyError) -> PackedOsprey {
    let file = try reading { () throws(CheckpointError) in try GGUFFile(path: path) }
    let config = try LlamaConfiguration(file)
    _ = try SentencePieceTokenizer(SentencePieceModel(file, rows: config.vocabularySize), path: path)
    let own = try LlamaConfiguration(path: configuration)
    guard own.hiddenSize == config.hiddenSize else {
      throw .configuration(
        path: path, reason: "'llama.embedding_length' is \(config.hiddenSize), \(configuration) has \(own.hiddenSize)")
    }
    var language = GGUFContent()
    let written = own.ospreyMetadata + preprocessor.metadata + calibration.metadata
    for key in file.metadataKeys
    where !PackedOsprey.layoutKeys.contains(key) && !written.contains(where: { $0.key == key }) {
      if let value = file.value(key) { language.metadata.append((key, value)) }
    }
    language.metadata += written
    for name in file.keys {
      guard let type = file.type(of: name) else {
        throw .checkpoint(.unsupportedType(path: path, tensor: name, type: file.typeName(of: name) ?? "?"))
      }
      try reading { () throws(CheckpointError) in
        language.tensors.append(try GGUFTensor(name, as: type, from: file, key: name))
      }
    }
    return PackedOsprey(language: language, companion: try companion(own, as: .float16))
  }

  /// What sees, as the second GGUF. It is read as a whole: what does not fit together is found before anything is written.
  ///
  /// - Parameter type: of what is no vector.
  private func companion(_ config: LlamaConfiguration, as type: ElementType) throws(OspreyError) -> GGUFContent {
    let scopes = try OspreyVision(weights, visionTower, config, path: configuration).scopes
    var content = GGUFContent()
    content.metadata = [("general.architecture", .string("osprey-vision")), ("general.type", .string("model"))]
    for (scope, prefix, isPart) in [
      // Under open_clip's name, wherever the trunk was.
      (scopes.trunk, "visual.trunk.", { $0.hasPrefix("stem.") || $0.hasPrefix("stages.") }),
      (scopes.projector, scopes.projector.prefix, { _ in true }),
      (scopes.extractor, scopes.extractor.prefix, { _ in true }),
    ] as [(WeightScope, String, (String) -> Bool)] {
      for key in scope.checkpoint.keys where key.hasPrefix(scope.prefix) {
        let rest = String(key.dropFirst(scope.prefix.count))
        guard isPart(rest), let shape = scope.checkpoint.shape(of: key) else { continue }
        try reading { () throws(CheckpointError) in
          content.tensors.append(
            try GGUFTensor(prefix + rest, as: shape.count > 1 ? type : .float32, from: scope.checkpoint, key: key))
        }
      }
    }
    return content
  }

  /// How many tokens the model embeds.
  private func rows(_ config: LlamaConfiguration, _ pieces: SentencePieceTokenizer) throws(OspreyError) -> Int {
    let key = "model.embed_tokens.weight"
    guard let table = weights.shape(of: key) else { throw .checkpoint(.missing(key: key, path: weights.path)) }
    guard table.count == 2, table[0] >= config.vocabularySize, table[1] == config.hiddenSize else {
      throw .checkpoint(
        .shapeMismatch(key: key, expected: [config.vocabularySize, config.hiddenSize], actual: table))
    }
    try pieces.check(rows: table[0], path: tokenizer)
    return table[0]
  }

  private func languageTensors(
    _ c: LlamaConfiguration, rows: Int, as type: ElementType
  ) throws(OspreyError) -> [GGUFTensor] {
    var tensors: [GGUFTensor] = []
    func add(_ key: String, _ shape: [Int], heads: Int? = nil) throws(OspreyError) {
      guard let actual = weights.shape(of: key) else { throw .checkpoint(.missing(key: key, path: weights.path)) }
      guard actual == shape else { throw .checkpoint(.shapeMismatch(key: key, expected: shape, actual: actual)) }
      guard let name = LlamaNames.gguf(key) else { preconditionFailure("GGUF has no name for \(key)") }
      let order = heads.map { Self.neighbours(heads: $0, size: shape[0] / $0) }
      try reading { () throws(CheckpointError) in
        tensors.append(
          try GGUFTensor(name, as: shape.count > 1 ? type : .float32, from: weights, key: key, rows: order))
      }
    }
    let (queries, values) = (c.heads * c.headSize, c.keyValueHeads * c.headSize)
    // Rows, columns and, where positions turn them, heads.
    let shapes: [String: (rows: Int, columns: Int?, heads: Int?)] = [
      "input_layernorm": (c.hiddenSize, nil, nil), "self_attn.q_proj": (queries, c.hiddenSize, c.heads),
      "self_attn.k_proj": (values, c.hiddenSize, c.keyValueHeads), "self_attn.v_proj": (values, c.hiddenSize, nil),
      "self_attn.o_proj": (c.hiddenSize, queries, nil), "post_attention_layernorm": (c.hiddenSize, nil, nil),
      "mlp.gate_proj": (c.intermediateSize, c.hiddenSize, nil), "mlp.up_proj": (c.intermediateSize, c.hiddenSize, nil),
      "mlp.down_proj": (c.hiddenSize, c.intermediateSize, nil),
    ]
    try add("model.embed_tokens.weight", [rows, c.hiddenSize])
    if let factors = c.ropeFactors { tensors.append(GGUFTensor("rope_freqs.weight", values: factors)) }
    for i in 0..<c.layers {
      for (part, _) in LlamaNames.layer {
        guard let (rows, columns, heads) = shapes[part] else { preconditionFailure("no shape of \(part)") }
        let key = "model.layers.\(i).\(part)"
        try add("\(key).weight", columns.map { [rows, $0] } ?? [rows], heads: heads)
        if weights.shape(of: "\(key).bias") != nil { try add("\(key).bias", [rows], heads: heads) }
      }
    }
    try add("model.norm.weight", [c.hiddenSize])
    if !c.tiesWordEmbeddings, weights.shape(of: "lm_head.weight") != nil {
      try add("lm_head.weight", [rows, c.hiddenSize])
    }
    return tensors
  }

  /// The order of rows in which the numbers that turn together are neighbours: of each head 0, d/2, 1, d/2 + 1, …
  static func neighbours(heads: Int, size: Int) -> [Int] {
    (0..<heads * size).map { row in
      let (head, i) = (row / size, row % size)
      return head * size + i / 2 + (i % 2) * (size / 2)
    }
  }
}
