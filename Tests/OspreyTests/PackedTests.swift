import Checkpoints
import Foundation
import Masks
import Tensors
import Testing

@testable import Osprey

/// Labelers in one GGUF file.
@Suite struct PackedTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "osprey-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  /// Runs with the path of a file to be, and removes what is there after.
  private func withFile(_ body: (String) throws -> Void) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body("\(folder)/a.gguf")
  }

  private func source(
    _ name: String, size: Int = 64, configuration: String? = nil, tower: String? = nil
  ) throws -> OspreySource {
    OspreySource(
      configuration: configuration ?? Fixture.path(name + ".config.json"), tokenizer: Fixture.path("tokenizer.model"),
      weights: try openCheckpoint(Fixture.path(name + ".safetensors")),
      visionTower: try openCheckpoint(Fixture.path((tower ?? name) + ".tower.safetensors")),
      preprocessor: ImagePreprocessor(size: size))
  }

  @Test(arguments: ["grouped", "plain_heads"]) func oneFileSaysTheSameWords(name: String) throws {
    try withFile { path in
      let golden = try Fixture.json(name + ".json", as: Golden.self)
      try source(name, size: golden.size).packed(as: .float32, name: name).write(to: path)
      let osprey = try Osprey(gguf: path)
      #expect(osprey.configuration.ropePairing == .neighbours && osprey.preprocessor.size == golden.size)
      for one in golden.cases.prefix(3) {
        let image = Fixture.picture(width: one.width, height: one.height)
        let answer = try osprey.answer(
          osprey.see(image), masks: one.masks, question: one.asked, maxTokens: one.generated.count)
        #expect(answer.tokenIds == one.generated.filter { $0 != osprey.tokenizer.endId }, "\(one.name)")
        #expect(abs(answer.meanLogProbability - one.meanLogProbability) < 1e-3, "\(one.name)")
      }
    }
  }

  /// The labeler that comes with the program, whose weights are float16.
  @Test func nanoGoesThereAndBack() throws {
    try withFile { path in
      let models = URL(fileURLWithPath: #filePath).appending(path: "../../../Models/pandion-nano").standardized.path
      let source = try OspreySource(folder: models, preprocessor: ImagePreprocessor(size: 384))
      let original = try Osprey(source)
      let image = Fixture.picture(width: 120, height: 90)
      func say(_ osprey: Osprey, _ mask: BitMask) throws -> Answer {
        try osprey.label(osprey.see(image), mask: mask, style: .detailed, maxTokens: 24)
      }
      let masks = [(10, 10, 60, 50), (30, 5, 100, 80)].map { left, top, right, bottom in
        let bits = (0..<90 * 120).map { i -> UInt8 in
          (top..<bottom).contains(i / 120) && (left..<right).contains(i % 120) ? 1 : 0
        }
        return BitMask(width: 120, height: 90, bits: bits)
      }
      let answers = try masks.map { try say(original, $0) }
      for type in [ElementType.float32, .float16] {
        try source.packed(as: type, name: "nano").write(to: path)
        let packed = try Osprey(gguf: path)
        for (mask, answer) in zip(masks, answers) {
          let again = try say(packed, mask)
          #expect(again.tokenIds == answer.tokenIds, "\(type)")
          #expect(abs(again.meanLogProbability - answer.meanLogProbability) < 1e-4, "\(type)")
        }
      }
      // Blocks change the probabilities of the first words a little, four bits more so. [type: how far, in nats]
      for (type, tolerance) in [(ElementType.q8_0, 0.05), (.q6_K, 0.05), (.q4_K, 0.25), (.q4_0, 1)] {
        let blocks = "\(folder)/\(type).gguf"
        try PackedOsprey(quantizing: path, as: type).write(to: blocks)
        let quantized = try Osprey(gguf: blocks)
        let before = try original.label(original.see(image), mask: masks[0], style: .short, maxTokens: 1)
        let after = try quantized.label(quantized.see(image), mask: masks[0], style: .short, maxTokens: 1)
        #expect(after.tokenIds == before.tokenIds || type == .q4_0, "\(type)")
        #expect(abs(after.meanLogProbability - before.meanLogProbability) < tolerance, "\(type)")
        #expect(throws: OspreyError.quantized(path: blocks, tensor: "token_embd.weight", type: type.rawValue)) {
          // Nano's rows are filled by blocks of 32 only.
          guard type == .q4_0 else {
            throw OspreyError.quantized(path: blocks, tensor: "token_embd.weight", type: type.rawValue)
          }
          _ = try PackedOsprey(quantizing: blocks, as: .q8_0)
        }
      }
    }
  }

  @Test func aLanguageModelOfItsOwnGetsTheRest() throws {
    try withFile { path in
      let source = try source("plain_heads")
      var bare = try source.packed(as: .float32, name: "x")
      bare.companion = nil
      bare.language.metadata.removeAll { $0.key.hasPrefix("osprey.") }
      let language = "\(folder)/bare.gguf"
      try bare.write(to: language)
      try source.packed(around: language).write(to: path)
      let (before, after) = (try Osprey(source), try Osprey(gguf: path))
      #expect(after.configuration.projectorType == "mlp2x_gelu" && after.preprocessor.size == 64)
      let image = Fixture.picture(width: 50, height: 70)
      let mask = BitMask(width: 50, height: 70, bits: (0..<3500).map { $0 % 50 < 20 ? 1 : 0 })
      let first = try before.label(before.see(image), mask: mask, style: .short, maxTokens: 8)
      let second = try after.label(after.see(image), mask: mask, style: .short, maxTokens: 8)
      // What sees is float16 now.
      #expect(abs(first.meanLogProbability - second.meanLogProbability) < 0.05)
      let narrow = OspreySource(
        configuration: source.configuration, tokenizer: source.tokenizer, weights: source.weights,
        visionTower: source.visionTower)
      let wider = Fixture.path("random.q8_0.gguf")
      #expect(
        throws: OspreyError.configuration(
          path: wider, reason: "'llama.embedding_length' is 256, \(source.configuration) has 48")
      ) { try narrow.packed(around: wider) }
    }
  }

  @Test func scaledPositionsGoAlong() throws {
    try withFile { path in
      let text = try Data(contentsOf: URL(fileURLWithPath: Fixture.path("grouped.config.json")))
      for scaling: [String: Any] in [
        ["type": "linear", "factor": 2.0],
        [
          "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64.0,
        ],
      ] {
        var object = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        object["rope_scaling"] = scaling
        object["eos_token_id"] = [2, 7]
        let configuration = "\(folder)/config.json"
        try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: configuration))
        let source = try source("grouped", configuration: configuration)
        try source.packed(as: .float32, name: "scaled").write(to: path)
        let (before, after) = (try Osprey(source), try Osprey(gguf: path))
        #expect(after.configuration.endIds == [2, 7])
        let pairs = zip(after.llama.rotary.frequencies, before.llama.rotary.frequencies)
        #expect(pairs.allSatisfy { abs($0 / $1 - 1) < 1e-6 })
        #expect(after.llama.rotary.frequencies != RotaryEmbedding.frequencies(theta: 50000, headSize: 8))
        let image = Fixture.picture(width: 50, height: 70)
        let mask = BitMask(width: 50, height: 70, bits: (0..<3500).map { $0 % 50 < 20 ? 1 : 0 })
        let first = try before.label(before.see(image), mask: mask, style: .short, maxTokens: 20)
        let second = try after.label(after.see(image), mask: mask, style: .short, maxTokens: 20)
        #expect(first.tokenIds == second.tokenIds)
      }
    }
  }

  @Test(arguments: ["tokenizer", "plain"]) func theTokenizerIsTheSame(name: String) throws {
    try withFile { path in
      let original = try SentencePieceTokenizer(path: Fixture.path(name + ".model"))
      let rows = original.vocabularySize + 5
      let metadata = original.model.metadata(
        rows: rows, beginningId: original.beginningId, endId: original.endId, unknownId: original.unknownId)
      try writeGGUF(GGUFContent(metadata: metadata), to: path)
      let file = try GGUFFile(path: path)
      let again = try SentencePieceTokenizer(SentencePieceModel(file, rows: rows), path: path)
      #expect(again.vocabularySize == original.vocabularySize && again.maskId == original.maskId)
      #expect(again.unknownId == original.unknownId && again.byteIds == original.byteIds)
      for text in ["a cup  on the table", " x ", "日本 é\n\t<s>", "", "\u{2581}a", "zzz 12 🦅 <unk>", "<mask><pos>"] {
        #expect(again.encode(text) == original.encode(text), "\(text)")
        #expect(again.decode(original.encode(text)) == original.decode(original.encode(text)))
      }
      let tokens = try #require(try file.strings("tokenizer.ggml.tokens")).map { String(decoding: $0, as: UTF8.self) }
      #expect(tokens.count == rows && Set(tokens).count == rows)
      #expect(tokens.suffix(5) == ["<mask>", "<pos>"] + (2..<5).map { "[PAD\(original.vocabularySize + $0)]" })
    }
  }

  @Test func namesGoBothWays() {
    #expect(LlamaNames.gguf("model.layers.31.self_attn.q_proj.weight") == "blk.31.attn_q.weight")
    #expect(LlamaNames.gguf("model.layers.0.post_attention_layernorm.weight") == "blk.0.ffn_norm.weight")
    #expect(LlamaNames.huggingFace("blk.7.attn_k.bias") == "model.layers.7.self_attn.k_proj.bias")
    for name in [
      "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", "model.layers.2.mlp.up_proj.weight",
    ] {
      #expect(LlamaNames.gguf(name).flatMap { LlamaNames.huggingFace($0) } == name)
    }
    for name in [
      "model.layers.x.mlp.up_proj.weight", "model.layers.1.mlp.weight", "model.mm_projector.0.weight", "blk.",
    ] {
      #expect(LlamaNames.gguf(name) == nil && LlamaNames.huggingFace(name) == nil)
    }
    #expect(OspreySource.neighbours(heads: 2, size: 6) == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11])
  }
}

/// Packed labelers that do not fit together, each with its own error.
@Suite struct HostilePackedTests {
  private func refusal(
    _ name: String = "plain_heads", _ change: (inout PackedOsprey) throws -> Void
  ) throws -> (path: String, error: OspreyError?) {
    let folder = NSTemporaryDirectory() + "osprey-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = OspreySource(
      configuration: Fixture.path(name + ".config.json"), tokenizer: Fixture.path("tokenizer.model"),
      weights: try openCheckpoint(Fixture.path(name + ".safetensors")),
      visionTower: try openCheckpoint(Fixture.path(name + ".tower.safetensors")),
      preprocessor: ImagePreprocessor(size: 64))
    var packed = try source.packed(as: .float32, name: name)
    try change(&packed)
    let path = folder + "/a.gguf"
    try packed.write(to: path)
    do throws(OspreyError) {
      _ = try Osprey(gguf: path)
      return (path, nil)
    } catch { return (path, error) }
  }

  /// Puts a value in the place of another, or takes it away.
  private func refusal(_ key: String, _ value: GGUFValue?) throws -> (path: String, error: OspreyError?) {
    try refusal { packed in
      packed.language.metadata.removeAll { $0.key == key }
      if let value { packed.language.metadata.append((key, value)) }
    }
  }

  @Test func whatFitsIsRead() throws {
    #expect(try refusal { _ in }.error == nil)
    #expect(try refusal("osprey.image_size", nil).error == nil)
  }

  @Test func hyperparametersAreChecked() throws {
    var (path, error) = try refusal("general.architecture", .string("gpt2"))
    #expect(error == .configuration(path: path, reason: "'general.architecture' is 'gpt2', not 'llama'"))
    (path, error) = try refusal("llama.embedding_length", nil)
    #expect(error == .configuration(path: path, reason: "has no 'llama.embedding_length'"))
    (path, error) = try refusal("llama.block_count", .string("2"))
    let wrong = CheckpointError.wrongValue(
      path: path, key: "llama.block_count", expected: "a whole number", found: "a string")
    #expect(error == .checkpoint(wrong))
    (path, error) = try refusal("llama.block_count", .uint32(1 << 31))
    let large = CheckpointError.wrongValue(
      path: path, key: "llama.block_count", expected: "1…1024", found: "\(1 << 31)")
    #expect(error == .checkpoint(large))
    (path, error) = try refusal("llama.block_count", .uint32(3))
    #expect(error == .checkpoint(.missing(key: "blk.2.attn_norm.weight", path: path)))
    (path, error) = try refusal("llama.feed_forward_length", .uint32(96))
    #expect(
      error == .checkpoint(.shapeMismatch(key: "blk.0.ffn_gate.weight", expected: [96, 48], actual: [80, 48])))
    (path, error) = try refusal("llama.attention.head_count_kv", .uint32(3))
    #expect(error == .configuration(path: path, reason: "num_key_value_heads 3 does not divide 4 heads"))
    (path, error) = try refusal("llama.rope.freq_base", .float32(-1))
    #expect(error == .configuration(path: path, reason: "'llama.rope.freq_base' is -1.0, must be positive"))
    (path, error) = try refusal("llama.rope.scaling.type", .string("yarn"))
    #expect(error == .configuration(path: path, reason: "'llama.rope.scaling.type' is 'yarn', not none or linear"))
    (path, error) = try refusal("llama.rope.dimension_count", .uint32(6))
    #expect(
      error
        == .configuration(
          path: path,
          reason: "heads of 12 whose 'llama.rope.dimension_count' is 6 and 'llama.attention.value_length' 12; "
            + "all must be the same"))
    (path, error) = try refusal("osprey.image_size", .uint32(100))
    #expect(error == .configuration(path: path, reason: "'osprey.image_size' is 100, must be a multiple of 32"))
    (path, error) = try refusal("osprey.image_std", .float32s([1, 0, 1]))
    #expect(
      error == .configuration(path: path, reason: "'osprey.image_std' is [1.0, 0.0, 1.0], must be three numbers"))
    (path, error) = try refusal { packed in
      packed.language.tensors.append(GGUFTensor("rope_freqs.weight", values: [1, 1, 1, 1, 1, -2]))
    }
    #expect(error == .configuration(path: path, reason: "'rope_freqs.weight' has the factor -2.0, must be positive"))
  }

  @Test func aTokenizerOfAnotherVocabularyIsRefused() throws {
    func strings(_ count: Int) -> GGUFValue { .strings((0..<count).map { Array("t\($0)".utf8) }) }
    func refusal(_ tokens: Int, _ scores: Int) throws -> (path: String, error: OspreyError?) {
      try self.refusal { packed in
        packed.language.metadata.removeAll {
          ["tokens", "scores", "token_type"].map { "tokenizer.ggml." + $0 }.contains($0.key)
        }
        packed.language.metadata += [
          ("tokenizer.ggml.tokens", strings(tokens)),
          ("tokenizer.ggml.scores", .float32s([Float](repeating: 0, count: scores))),
          ("tokenizer.ggml.token_type", .int32s([Int32](repeating: 1, count: tokens))),
        ]
      }
    }
    var (path, error) = try refusal(561, 561)
    #expect(
      error == .tokenizer(path: path, reason: "'tokenizer.ggml.tokens' has 561 tokens, the model embeds 560"))
    (path, error) = try refusal(560, 559)
    #expect(error == .tokenizer(path: path, reason: "'tokenizer.ggml.scores' has 559 values for 560 tokens"))
    (path, error) = try refusal(560, 560)
    #expect(error == .tokenizer(path: path, reason: "it has no unknown piece"))
    (path, error) = try self.refusal("tokenizer.ggml.tokens", nil)
    #expect(error == .tokenizer(path: path, reason: "it has no 'tokenizer.ggml.tokens'"))
    (path, error) = try self.refusal("tokenizer.ggml.model", .string("gpt2"))
    #expect(error == .tokenizer(path: path, reason: "'tokenizer.ggml.model' is 'gpt2', not 'llama'"))
    (path, error) = try self.refusal("tokenizer.ggml.token_type", .int32s([Int32](repeating: 9, count: 560)))
    #expect(error == .tokenizer(path: path, reason: "token 0 has the type 9"))
    (path, error) = try self.refusal("tokenizer.ggml.scores", .float32s([Float](repeating: .nan, count: 560)))
    #expect(error == .tokenizer(path: path, reason: "token 0's score is nan"))
    (path, error) = try self.refusal("tokenizer.ggml.tokens", .strings([[UInt8]](repeating: [], count: 560)))
    #expect(error == .tokenizer(path: path, reason: "token 0 is empty"))
  }

  @Test func partsThatAreMissingOrDoNotFitAreNamed() throws {
    var (path, error) = try refusal { $0.companion = nil }
    let parts = "vision trunk, projector and mask extractor (osprey.companion.offset)"
    #expect(error == .notFound(what: parts, path: path))
    (path, error) = try refusal { $0.companion?.tensors.removeAll { $0.name.hasPrefix("visual.") } }
    #expect(error == .notFound(what: "ConvNeXt trunk; name the open_clip file with --vision-tower", path: path))
    (path, error) = try refusal { $0.companion?.tensors.removeAll { $0.name == "mask_extractor.res4.weight" } }
    #expect(error == .checkpoint(.missing(key: "mask_extractor.res4.weight", path: path)))
    (path, error) = try refusal { $0.language.tensors.removeAll { $0.name == "blk.1.attn_v.weight" } }
    #expect(error == .checkpoint(.missing(key: "blk.1.attn_v.weight", path: path)))
    // A tower whose last stage is narrower than the extractor's.
    (path, error) = try refusal { packed in
      let narrow = try openCheckpoint(Fixture.path("plain_heads.safetensors"))
      packed.companion?.tensors.removeAll { $0.name == "mask_extractor.res5.weight" }
      packed.companion?.tensors.append(
        try GGUFTensor("mask_extractor.res5.weight", as: .float32, from: narrow, key: "mask_extractor.res4.weight"))
    }
    #expect(
      error
        == .checkpoint(
          .shapeMismatch(key: "mask_extractor.res5.weight", expected: [32, 32], actual: [32, 24])))
  }
}
