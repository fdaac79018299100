import ArgumentParser
import Daemon
import Foundation
import Wire

/// `pandion label`: words for masks.
struct Label: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Words for what is clicked, for given masks, or for everything in a picture.")

  @Argument(help: ArgumentHelp("A PNG or JPEG picture.", valueName: "IMAGE")) var image: String
  @OptionGroup var prompts: PromptOptions
  @Flag(help: "Segment everything first.") var auto = false
  @Option(
    help: ArgumentHelp("A JSON list of objects that have 'segmentation', as auto --json prints.", valueName: "F.json"))
  var masks: String?
  @Flag(help: "All three masks of a prompt instead of the single one.") var multimask = false
  @Option(help: "The form of the answer.") var style: LabelStyle = .short
  @Option(help: ArgumentHelp("A question of your own; <mask><pos> stands for the region.", valueName: "TEXT"))
  var question: String?
  @Option(help: ArgumentHelp("Words to choose from, one a line.", valueName: "FILE")) var vocabulary: String?
  @Option(help: "The longest answer in tokens.") var maxTokens: Int?
  @OptionGroup var automatic: AutomaticOptions
  @OptionGroup var models: ModelOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    let sources = [!prompts.isEmpty, auto, masks != nil].count { $0 }
    if sources != 1 { throw ValidationError("say where: either --point, --box or --mask-input, or --auto, or --masks") }
  }

  func run() throws {
    let picture = try PictureFile(image)
    var blobs = [picture.bytes]
    let regions: LabelRequest.Regions
    if auto {
      regions = .auto(try automatic.parameters())
    } else if let masks {
      regions = .masks(try GivenMask.list(FileReading.bytes(masks, limit: 1 << 28)))
    } else {
      let (prompt, maskBlobs) = try prompts.wire(firstBlob: 1)
      blobs += maskBlobs
      regions = .prompts([prompt], multimask: multimask)
    }
    var request = LabelRequest(image: picture.reference, regions: regions)
    (request.style, request.question, request.maxTokens) = (style, question, maxTokens)
    request.vocabulary = try vocabulary.map { try FileReading.lines($0) }
    let exchange = try Exchange(.label(request), blobs: blobs, models: models, output: output)
    if let path = output.overlay { try exchange.writeOverlay(path, over: picture.image) }
    if output.json { return exchange.printMasks() }
    // One click, one line: the words alone, for scripts.
    if exchange.masks.count == 1, let label = exchange.masks[0]["label"]?.string { return Standard.output(label) }
    for mask in exchange.masks { Standard.output(MaskLine(mask).text) }
  }
}

extension LabelStyle: ExpressibleByArgument {}
