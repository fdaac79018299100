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
  @Option(
    name: .customLong("question"), parsing: .singleValue,
    help: ArgumentHelp(
      "A question of your own, asked about each mask (<mask> stands for it), or once about several: <region1>, <region2>, … Repeated, each follows on the ones before and their answers.",
      valueName: "TEXT"))
  var questions: [String] = []
  @Option(help: ArgumentHelp("Words to choose from, one a line.", valueName: "FILE")) var vocabulary: String?
  @Option(help: "The longest answer in tokens.") var maxTokens: Int?
  @Option(help: "Draws words instead of taking the likeliest: below 1 rather the likelier ones, above 1 the others.")
  var temperature: Double?
  @Option(
    help: ArgumentHelp("Draws only from the likeliest words that together have this probability.", valueName: "P"))
  var topP: Double?
  @Option(help: "The same seed draws the same words.") var seed: Int?
  @OptionGroup var automatic: AutomaticOptions
  @OptionGroup var models: ModelOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    let sources = [!prompts.isEmpty, auto, masks != nil].count { $0 }
    if sources != 1 { throw ValidationError("say where: either --point, --box or --mask-input, or --auto, or --masks") }
    if let temperature, !(0...100).contains(temperature) { throw ValidationError("--temperature must lie in 0…100") }
    if let topP, !(0...1).contains(topP) { throw ValidationError("--top-p must lie in 0…1") }
    if let seed, seed < 0 { throw ValidationError("--seed must be at least 0") }
    if topP != nil, temperature == nil { throw ValidationError("--top-p draws words, which takes a --temperature") }
    if vocabulary != nil, temperature != nil || !questions.isEmpty {
      throw ValidationError("--vocabulary stands alone: nothing is drawn from it, and no question asked")
    }
    let namesRegions = questions.map { $0.contains("<region") }
    if namesRegions.contains(true), namesRegions.first == false {
      throw ValidationError("where a --question names <regionN>, the first one is to name them too")
    }
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
    (request.style, request.question, request.maxTokens) = (style, questions.first, maxTokens)
    (request.temperature, request.topP, request.seed) = (temperature, topP, seed)
    request.vocabulary = try vocabulary.map { try FileReading.lines($0) }
    let backend = try Backend(for: .label(request), models: models, output: output)
    var exchange = try backend.ask(.label(request), blobs: blobs)
    if questions.count > 1 {
      var conversation = try Conversation(request, exchange)
      for question in questions.dropFirst() { exchange = try conversation.ask(question, backend) }
    }
    try write(exchange, over: picture)
  }

  private func write(_ exchange: Exchange, over picture: PictureFile) throws {
    if let path = output.overlay { try exchange.writeOverlay(path, over: picture.image) }
    if let answer = exchange.reply.header["answer"] {
      let whole = JSONValue(entries: [("answer", answer), ("masks", .array(exchange.masks))])
      return Standard.output(
        output.json ? String(decoding: whole.serialized(), as: UTF8.self) : answer["text"]?.string ?? "")
    }
    if output.json { return exchange.printMasks() }
    // One click, one line: the words alone, for scripts.
    if exchange.masks.count == 1, let label = exchange.masks[0]["label"]?.string { return Standard.output(label) }
    for mask in exchange.masks { Standard.output(MaskLine(mask).text) }
  }
}

extension LabelStyle: ExpressibleByArgument {}
