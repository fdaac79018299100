import ArgumentParser
import Checkpoints
import Daemon
import Imaging
import Masks
import Osprey
import SegmentAnything
import struct Wire.GivenMask

/// `pandion trace`: every stage's tensors, for debugging and parity.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write every stage's tensors to a safetensors file.",
    discussion: """
      Names and shapes: the design's §2. The labeler's tensors are those of the first mask, or with --masks of one \
      question about all of them; no segmenter is loaded then.
      """)

  @Argument(help: ArgumentHelp("A PNG or JPEG picture.", valueName: "IMAGE")) var image: String
  @OptionGroup var prompts: PromptOptions
  @OptionGroup var models: ModelOptions
  @Flag(help: "SAM's single mask instead of its three.") var singleMask = false
  @Option(help: "The file to write.") var out: String
  @Option(
    help: ArgumentHelp("A JSON list of objects that have 'segmentation', instead of prompts.", valueName: "F.json"))
  var masks: String?
  @Option(help: "The form of the labeler's question.") var style: LabelStyle = .short
  @Option(help: ArgumentHelp("A question of your own, with <mask><pos> for each mask.", valueName: "TEXT"))
  var question: String?
  @Option(help: "How many tokens the labeler may generate.") var maxTokens = 64
  @Flag(help: "Only the segmenter's tensors.") var segmentOnly = false

  func validate() throws {
    if masks != nil, !prompts.isEmpty || segmentOnly {
      throw ValidationError("--masks takes the place of prompts and of the segmenter")
    }
  }

  func run() throws {
    try models.apply()
    let image = try Image.load(path: image)
    // For parity: exact unless told otherwise.
    let loader = ModelLoader(precision: models.precision == .automatic ? .fixed(.fp32) : models.precision)
    var (all, chosen) = ([(name: String, array: NamedArray)](), [BitMask]())
    if let masks {
      let given = try GivenMask.list(FileReading.bytes(masks, limit: 1 << 28))
      chosen = try given.map { try $0.runs().bitMask() }
    } else {
      all = try loader.segmenter(models.segmenter).trace(image, try prompts.prompt(), multimask: !singleMask)
      chosen = segmentOnly ? [] : [Self.firstMask(all, image)].compactMap { $0 }
    }
    if !chosen.isEmpty {
      let labeler = try loader.labeler(models.labeler, visionTower: models.visionTower)
      all += try labeler.trace(
        image, masks: chosen, question: question.map { Question($0) } ?? Question(style), maxTokens: maxTokens)
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
