import ArgumentParser
import Daemon
import Foundation
import Imaging
import Masks
import Osprey
import SegmentAnything
import Tensors

/// `pandion bench`: how long the models take for a picture on this machine.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Time the models' parts on a picture.",
    discussion: """
      Each part runs once unmeasured, then --repeat times; the median counts, since other work only adds. Loading models is not \
      measured. A random checkpoint takes as long as a trained one; only automatic masks depend on what is found. 'decode_64' is \
      the prompt encoder and the mask decoder alone, 'points_64' has the masks at the picture's size too. 'convnext' is \
      the labeler's trunk, 'vision_trunk' that with the projector behind it.
      """)

  /// What is timed.
  enum Part: String, CaseIterable, ExpressibleByArgument {
    case imageEncoder = "image_encoder"
    case embed
    case click = "click"
    case points = "points_64"
    case decode = "decode_64"
    case automatic = "automatic_masks"
    case convNeXt = "convnext"
    case trunk = "vision_trunk"
    case prefix = "language_prefix"
    case label = "label"

    /// What is told of each operation unless parts are named.
    static let profiled: [Part] = [.embed, .click, .trunk, .prefix]

    /// Whether it is the labeler's.
    var isLabelers: Bool { [.convNeXt, .trunk, .prefix, .label].contains(self) }
  }

  @Argument(help: ArgumentHelp("A PNG or JPEG picture; none with --kernels.", valueName: "IMAGE"))
  var picture: String?
  @OptionGroup var automatic: AutomaticOptions
  @OptionGroup var models: ModelOptions
  @Option(help: "A part to time, repeatable; all unless given.") var only: [Part] = []
  @Option(name: .customLong("repeat"), help: "How often each part is timed.") var count = 5
  @Flag(help: "Tell what each part's operations take instead: time, GFLOP/s and bytes by kind and shape.")
  var profile = false
  @Option(
    name: .customLong("profile-by"),
    help: ArgumentHelp(
      "The same by operation, or by layer: where in the model it was, by the checkpoint's names, in the model's order.",
      valueName: "operation|layer"))
  var profileKey: PartProfile.Key?
  @Flag(help: "Time the kernels instead, each instruction set beside its plain twin.") var kernels = false
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    guard (1...10_000).contains(count) else { throw ValidationError("--repeat must lie in 1…10000") }
    if kernels, picture != nil || isProfile || !only.isEmpty {
      throw ValidationError("--kernels goes without a picture, --profile and --only")
    }
    if !kernels, picture == nil { throw ValidationError("give a picture, or --kernels") }
  }

  private var isProfile: Bool { profile || profileKey != nil }

  func run() throws {
    try models.apply()
    guard let picture else { return try KernelBench(count: count).run(json: json) }
    let image = try Image.load(path: picture)
    let parts = only.isEmpty ? (isProfile ? Part.profiled : Part.allCases) : only
    var (rows, profiles) = ([BenchRow](), [PartProfile]())
    try forEach(parts, image) { part, body in
      if isProfile {
        try body()
        profiles.append(try PartProfile(part.rawValue, by: profileKey ?? .operation, body))
      } else {
        rows.append(try measure(part, body))
      }
    }
    if json {
      return isProfile
        ? try printJSON(ProfileReport(threads: ComputePool.threads, profiles: profiles))
        : try printJSON(BenchReport(threads: ComputePool.threads, parts: rows))
    }
    for profile in profiles { profile.print() }
    for row in rows {
      Standard.output(
        row.part.padding(toLength: 18, withPad: " ", startingAt: 0)
          + String(format: " %10.1f ms   (%.1f…%.1f)", row.median, row.least, row.greatest))
    }
  }

  /// Calls `take` with each part and its work; models are loaded when a part needs them.
  private func forEach(
    _ parts: [Part], _ image: Image, _ take: (_ part: Part, _ body: () throws -> Void) throws -> Void
  ) throws {
    let loader = ModelLoader(precision: models.precision)
    if parts.contains(where: { !$0.isLabelers }) {
      let segmenter = try loader.segmenter(models.segmenter)
      let embedding = segmenter.embed(image)
      for part in parts where !part.isLabelers { try take(part, work(of: part, segmenter, image, embedding)) }
    }
    if parts.contains(where: \.isLabelers) {
      let labeler = try loader.labeler(models.labeler, visionTower: models.visionTower)
      for part in parts where part.isLabelers { try take(part, work(of: part, labeler, image)) }
    }
  }

  private func work(
    of part: Part, _ segmenter: SegmentAnything, _ image: Image, _ embedding: ImageEmbedding
  ) throws -> () throws -> Void {
    func click(_ x: Float, _ y: Float) -> Prompt {
      Prompt(points: [Point(x: x * Float(image.width), y: y * Float(image.height))], pointLabels: [1])
    }
    switch part {
    case .imageEncoder:
      let input = segmenter.input(of: image)
      return { _ = segmenter.encode(input) }
    case .embed: return { _ = segmenter.embed(image) }
    case .click:
      let prompt = click(0.5, 0.5)
      return { _ = try segmenter.predict(embedding, prompt, multimask: true) }
    case .points, .decode:
      let grid = (0..<64).map { click((Float($0 % 8) + 0.5) / 8, (Float($0 / 8) + 0.5) / 8) }
      return part == .points
        ? { _ = try segmenter.predict(embedding, grid, multimask: true) }
        : { _ = try segmenter.lowResLogits(embedding, grid, multimask: true) }
    default:
      let generator = try AutomaticMaskGenerator(segmenter, AutomaticMaskOptions(automatic.parameters()))
      return { _ = try generator.generate(image) }
    }
  }

  private func work(of part: Part, _ labeler: Osprey, _ image: Image) throws -> () throws -> Void {
    switch part {
    case .convNeXt: return { _ = try labeler.pyramid(image) }
    case .trunk: return { _ = try labeler.features(image) }
    case .prefix:
      let features = try labeler.features(image)
      return { _ = try labeler.prefill(features) }
    default:
      let seen = try labeler.see(image)
      var mask = BitMask(width: image.width, height: image.height)
      for y in image.height / 4..<image.height / 2 { for x in image.width / 4..<image.width / 2 { mask[x, y] = true } }
      let region = mask
      return { _ = try labeler.label(seen, mask: region, style: .short, maxTokens: 32) }
    }
  }

  private func measure(_ part: Part, _ body: () throws -> Void) rethrows -> BenchRow {
    try body()
    var times: [Double] = []
    for _ in 0..<count {
      let start = ContinuousClock.now
      try body()
      times.append(start.duration(to: .now).seconds * 1000)
    }
    times.sort()
    return BenchRow(
      part: part.rawValue, median: times[times.count / 2], least: times[0], greatest: times[times.count - 1])
  }
}

/// Milliseconds.
private struct BenchRow: Encodable {
  var part: String
  var median: Double
  var least: Double
  var greatest: Double
}

private struct BenchReport: Encodable {
  var threads: Int
  var parts: [BenchRow]
}
