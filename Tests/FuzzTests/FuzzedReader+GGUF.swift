import Foundation

@testable import Checkpoints
@testable import Osprey

/// GGUF, and a labeler's head in it.
extension FuzzedReader {
  static let gguf = FuzzedReader(
    name: "gguf",
    seeds: {
      try fixtures(["Checkpoints/small.gguf"]) + [
        try written(
          GGUFContent(
            metadata: [("a", .strings([[65], []])), ("b", .uint32(7))], tensors: [GGUFTensor("t", values: [1, 2])]),
          companion: GGUFContent(tensors: [GGUFTensor("u", values: [3])]))
      ]
    },
    words: ggufWords,
    read: { _, path in
      let file = try GGUFFile(path: path)
      try touch(file)
      if let companion = try file.companion("c") { try touch(companion) }
    })

  static let labeler = FuzzedReader(
    name: "labeler",
    seeds: {
      let folder = tests.appending(path: "OspreyTests/Fixtures").path
      let source = OspreySource(
        configuration: folder + "/grouped.config.json", tokenizer: folder + "/tokenizer.model",
        weights: try openCheckpoint(folder + "/grouped.safetensors"),
        visionTower: try openCheckpoint(folder + "/grouped.tower.safetensors"))
      var language = try source.packed(as: .float16, name: "x").language
      // The head tells it all; the table's shape is the vocabulary.
      language.tensors = language.tensors.filter { $0.name == "token_embd.weight" || $0.name == "output_norm.weight" }
      return [try written(language, companion: nil)]
    },
    words: ggufWords + ["linear", "tokenizer.ggml.scores", "llama.rope.scaling.type", "rope_freqs.weight"],
    read: { _, path in
      let file = try GGUFFile(path: path)
      let config = try LlamaConfiguration(file)
      _ = RotaryEmbedding(config)
      let model = try SentencePieceModel(file, rows: config.vocabularySize)
      let tokenizer = try SentencePieceTokenizer(model, path: path)
      _ = tokenizer.decode(tokenizer.encode("a cup on the table, 日本  \u{2581}é\n"))
      _ = try ImagePreprocessor(file)
    })

  private static let ggufWords = ["GGUF", "general.alignment", "c.offset", "c.length", "\u{8}\0\0\0", "\u{9}\0\0\0"]

  private static func touch(_ file: GGUFFile) throws {
    for key in file.metadataKeys {
      let value = file.value(key)
      _ = (value?.integers, value?.numbers, value?.strings)
    }
    for key in file.keys where file.type(of: key) != nil {
      let tensor = try file.tensor(key)
      if let shape = file.shape(of: key), shape.count == 2, tensor.count > 0 {
        let matrix = try file.matrix(key, shape: shape)
        precondition(matrix.dequantized(rows: [0]).count == shape[1])
      }
    }
  }

  private static func written(_ content: GGUFContent, companion: GGUFContent?) throws -> [UInt8] {
    let path = FileManager.default.temporaryDirectory.appending(path: "pandion-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: path) }
    try writeGGUF(content, companion: companion.map { ("c", $0) }, to: path.path)
    return [UInt8](try Data(contentsOf: path))
  }
}
