import ArgumentParser
import Checkpoints
import Daemon
import Foundation
import Osprey

extension Models {
  struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Pack a labeler with its vision tower and tokenizer into one GGUF file.",
      discussion: "llama.cpp opens the file as a LLaMA; its own part lies behind that.")

    @Argument(help: "A model's name, or a Hugging Face folder.") var model: String
    @Option(help: "A raw open_clip file, where the folder has no vision tower.") var visionTower: String?
    @Option(help: "A GGUF file, such as one that llama.cpp quantised, whose language model is taken as it is.")
    var languageModel: String?
    @Option(help: "The file to write.") var out: String
    @Option(help: "How the language model's matrices are stored: f16, bf16 or f32.") var type = FloatType.f16
    @Flag(help: "Replace a file that is there.") var force = false

    func run() throws {
      try Models.refuseExisting(out, force: force)
      let source = try ModelLoader().labelerSource(model, visionTower: visionTower)
      if let languageModel { return try Models.write(try source.packed(around: languageModel), to: out) }
      let name = URL(fileURLWithPath: model).lastPathComponent
      try Models.write(try source.packed(as: type.elementType, name: name), to: out)
    }
  }

  struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Store the matrices of a GGUF file in blocks of few bits, as llama.cpp does.",
      discussion: "Rows that the blocks do not fill are stored as q8_0, or f16 where these do not fill them either.")

    @Argument(help: "A GGUF file of f16, bf16 or f32.") var input: String
    @Option(help: "The file to write.") var out: String
    @Option(help: "q8_0, q4_0, q4_k or q6_k.") var type: BlockType
    @Flag(help: "Replace a file that is there.") var force = false

    func run() throws {
      try Models.refuseExisting(out, force: force)
      try Models.write(try PackedOsprey(quantizing: input, as: type.elementType), to: out)
    }
  }

  enum FloatType: String, ExpressibleByArgument, CaseIterable {
    case f16, bf16, f32

    var elementType: ElementType {
      switch self {
      case .f16: .float16
      case .bf16: .bfloat16
      case .f32: .float32
      }
    }
  }

  // swift-format-ignore: AlwaysUseLowerCamelCase
  enum BlockType: String, ExpressibleByArgument, CaseIterable {
    case q8_0, q4_0, q4_k, q6_k

    var elementType: ElementType {
      switch self {
      case .q8_0: .q8_0
      case .q4_0: .q4_0
      case .q4_k: .q4_K
      case .q6_k: .q6_K
      }
    }
  }

  private static func refuseExisting(_ path: String, force: Bool) throws {
    if !force, FileManager.default.fileExists(atPath: path) { throw ModelError.exists(path: path) }
  }

  private static func write(_ packed: PackedOsprey, to path: String) throws {
    var bar: ProgressBar?
    try packed.write(to: path) { done, total in
      let megabyte = 1 << 20
      let shown = bar ?? ProgressBar("MiB", total: (total + megabyte - 1) / megabyte)
      bar = shown
      shown.update(done == total ? (total + megabyte - 1) / megabyte : done / megabyte)
    }
    let census = packed.census.map { "\($0.count) \($0.type.rawValue)" }.joined(separator: ", ")
    let size = Double(FileManager.default.size(ofFileAt: path) ?? 0)
    Standard.output("\(path): \(String(format: "%.1f", size / 1e6)) MB, tensors \(census)")
  }
}
