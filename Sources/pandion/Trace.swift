import ArgumentParser
import Checkpoints
import Daemon
import Imaging
import Masks
import Osprey
import SegmentAnything

/// `pandion trace`: every stage's tensors, for debugging and parity.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write every stage's tensors to a safetensors file.",
    discussion: "Names and shapes: the design's §2. The labeler's tensors are those of the first mask.")

  @Argument(help: ArgumentHelp("A PNG or JPEG picture.", valueName: "IMAGE")) var image: String
  @OptionGroup var prompts: PromptOptions
  @OptionGroup var models: ModelOptions
  @Flag(help: "SAM's single mask instead of its three.") var singleMask = false
  @Option(help: "The file to write.") var out: String
  @Option(help: "The form of the labeler's question.") var style: LabelStyle = .short
  @Option(help: "How many tokens the labeler may generate.") var maxTokens = 64
  @Flag(help: "Only the segmenter's tensors.") var segmentOnly = false

  func run() throws {
    models.apply()
    let image = try Image.load(path: image)
    let loader = ModelLoader()
    let segmenter = try loader.segmenter(models.segmenter)
    var all = try segmenter.trace(image, try prompts.prompt(), multimask: !singleMask)
    if !segmentOnly, let mask = Self.firstMask(all, image) {
      let labeler = try loader.labeler(models.labeler, visionTower: models.visionTower)
      all += try labeler.trace(image, masks: [mask], question: Question(style), maxTokens: maxTokens)
    }
    try writeSafetensors(all, to: out)
    for (name, array) in all { Standard.error("\(name) \(array.shape)") }
  }

  /// The first of `sam.masks`: what the labeler is asked about.
  private static func firstMask(_ arrays: [(name: String, array: NamedArray)], _ image: Image) -> BitMask? {
    guard case .uint8(_, let bits) = arrays.first(where: { $0.name == "sam.masks" })?.array else { return nil }
    return BitMask(width: image.width, height: image.height, bits: Array(bits.prefix(image.width * image.height)))
  }
}

extension LabelStyle: ExpressibleByArgument {}
