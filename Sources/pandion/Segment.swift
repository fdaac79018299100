import ArgumentParser
import Daemon
import Wire

/// `pandion segment`: masks for clicks, a box or an earlier mask.
struct Segment: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Masks for clicks, a box or an earlier mask.")

  @Argument(help: ArgumentHelp("A PNG or JPEG picture.", valueName: "IMAGE")) var image: String
  @OptionGroup var prompts: PromptOptions
  @Flag(help: "SAM's single mask instead of its three.") var singleMask = false
  @OptionGroup var models: ModelOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if prompts.isEmpty { throw ValidationError("say where: --point, --box or --mask-input") }
  }

  func run() throws {
    let picture = try PictureFile(image)
    let (prompt, maskBlobs) = try prompts.wire(firstBlob: 1)
    var request = SegmentRequest(image: picture.reference, prompts: [prompt])
    request.multimask = !singleMask
    let exchange = try Exchange(.segment(request), blobs: [picture.bytes] + maskBlobs, models: models, output: output)
    if let path = output.overlay { try exchange.writeOverlay(path, over: picture.image) }
    if output.json { return exchange.printMasks() }
    for mask in exchange.masks { Standard.output(MaskLine(mask).text) }
  }
}

/// A mask in a line, for people.
struct MaskLine {
  let text: String

  init(_ mask: JSONValue) {
    let box = (mask["bbox"]?.array ?? []).compactMap(\.integer).map(String.init).joined(separator: ",")
    func figure(_ key: String) -> String? {
      mask[key]?.double.map { "\(key) \((($0 * 1000).rounded() / 1000).formatted)" }
    }
    let parts: [String?] = [
      mask["label"]?.string, "bbox \(box)", mask["area"]?.integer.map { "area \($0)" }, figure("predicted_iou"),
      figure("stability_score"), figure("score"), mask["parent"]?.integer.map { "part of \($0)" },
    ]
    let id = mask["id"]?.integer.map { "\($0)  " } ?? ""
    text = id + parts.compactMap { $0 }.joined(separator: "  ")
  }
}

extension Double {
  fileprivate var formatted: String { description }
}
