import Checkpoints
import Tensors

/// A labeler in one GGUF file: a LLaMA as llama.cpp has it, and behind it a second GGUF with vision trunk, projector and
/// mask extractor. Both under the names of Hugging Face's and PyTorch's files.
struct PackedCheckpoint: Checkpoint {
  let language: GGUFFile
  /// None where only the language model is of interest.
  let companion: GGUFFile?

  /// Where the first GGUF's metadata tells of the second.
  static let companionName = "osprey.companion"

  init(_ file: GGUFFile) throws(OspreyError) {
    let companion = try reading { () throws(CheckpointError) in try file.companion(Self.companionName) }
    guard let companion else {
      throw .notFound(
        what: "vision trunk, projector and mask extractor (\(Self.companionName).offset)", path: file.path)
    }
    (language, self.companion) = (file, companion)
  }

  init(languageOnly file: GGUFFile) { (language, companion) = (file, nil) }

  var path: String { language.path }
  var keys: [String] { language.keys.compactMap { LlamaNames.huggingFace($0) } + (companion?.keys ?? []) }

  private func home(_ key: String) -> (file: GGUFFile, key: String) {
    if let name = LlamaNames.gguf(key) { return (language, name) }
    return (companion ?? language, key)
  }

  func shape(of key: String) -> [Int]? {
    let (file, key) = home(key)
    return file.shape(of: key)
  }

  func type(of key: String) -> ElementType? {
    let (file, key) = home(key)
    return file.type(of: key)
  }

  func typeName(of key: String) -> String? {
    let (file, key) = home(key)
    return file.typeName(of: key)
  }

  func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    let (file, key) = home(key)
    return try file.tensor(key)
  }

  func tensor(_ key: String, shape: [Int]) throws(CheckpointError) -> Tensor {
    let (file, key) = home(key)
    return try file.tensor(key, shape: shape)
  }

  func matrix(_ key: String, shape: [Int]) throws(CheckpointError) -> WeightMatrix {
    let (file, key) = home(key)
    return try file.matrix(key, shape: shape)
  }
}
