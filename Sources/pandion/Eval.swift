import ArgumentParser
import Daemon
import Foundation
import Imaging
import Masks
import Osprey
import SegmentAnything

/// `pandion eval`: masks and words against ground truth, as figures.
struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure masks and words against a folder's annotations.json.",
    discussion: """
      A click is the inner point of the true mask. click_miou: the single mask against whole objects; click_miou_best: the \
      best of the three masks. label_accuracy: how often the short phrase equals the caption, on true masks and \
      (label_accuracy_predicted) on the clicked ones: the single mask for objects, the best of three for parts. Figures \
      without a suffix are of objects, …_parts of what has a parent, …_unseen of objects marked so. With --vocabulary each \
      true mask is also given the likeliest of these words or "none of these": vocabulary_accuracy, and as \
      vocabulary_brier and vocabulary_ece how far its shares can be believed, over all instances and over the same \
      instances with their own word left out. --calibrate fits that to every other picture, prints what belongs into \
      model.json, and measures on the rest. --against-fp32 adds mask_iou_fp32 and mask_iou_fp32_p05, the mean and the 5th \
      percentile over all masks of the IoU with what fp32 gives.
      """)

  @Argument(help: ArgumentHelp("Pictures and annotations.json.", valueName: "FOLDER")) var folder: String
  @OptionGroup var models: ModelOptions
  @Flag(help: "Print JSON.") var json = false
  @Option(help: "How many pictures at most.") var limit: Int?
  @Flag(help: "Measure masks only.") var masksOnly = false
  @Option(
    help: ArgumentHelp("Words to choose from, one a line; 'categories' takes the folder's own.", valueName: "FILE"))
  var vocabulary: String?
  @Flag(help: "Fit the vocabulary's calibration.") var calibrate = false
  @Flag(name: .customLong("against-fp32"), help: "Compare the masks with those of the same segmenter in fp32.")
  var againstExact = false

  func validate() throws {
    if calibrate, vocabulary == nil { throw ValidationError("--calibrate goes with --vocabulary") }
    if masksOnly, vocabulary != nil {
      throw ValidationError("--vocabulary needs the labeler, which --masks-only leaves out")
    }
  }

  func run() throws {
    try models.apply()
    let truth = try EvaluationSet(folder: folder)
    let loader = ModelLoader(precision: models.precision)
    let segmenter = try loader.segmenter(models.segmenter)
    let exact = againstExact ? try ModelLoader(precision: .fixed(.fp32)).segmenter(models.segmenter) : nil
    let labeler = masksOnly ? nil : try loader.labeler(models.labeler, visionTower: models.visionTower)
    var scores = EvaluationScores()
    var agreement: [Double] = []
    var choices = try vocabulary.map { try VocabularyEvaluation($0, truth) }
    let pictures = truth.pictures.prefix(limit ?? .max)
    let bar = ProgressBar("eval", total: pictures.count)
    for (done, picture) in pictures.enumerated() {
      let image = try Image.load(path: "\(folder)/\(picture.fileName)")
      let embedding = segmenter.embed(image)
      let exactly = exact?.embed(image)
      let seen = try labeler?.see(image)
      for instance in picture.instances {
        guard let click = instance.mask.innerPoint() else { continue }
        let prompt = Prompt(points: [Point(x: Float(click.x), y: Float(click.y))], pointLabels: [1])
        let single = try segmenter.predict(embedding, prompt, multimask: false).masks[0]
        let three = try segmenter.predict(embedding, prompt, multimask: true).masks
        let ranked = three.map { ($0, $0.iou(instance.mask)) }
        guard let best = ranked.max(by: { $0.1 < $1.1 }) else { continue }
        if let exact, let exactly {
          for (multimask, masks) in [(false, [single]), (true, three)] {
            let same = try exact.predict(exactly, prompt, multimask: multimask).masks
            agreement += zip(masks, same).map { $0.area + $1.area == 0 ? 1 : $0.iou($1) }
          }
        }
        scores.add("click_miou", single.iou(instance.mask), instance)
        scores.add("click_miou_best", best.1, instance)
        guard let labeler, let seen else { continue }
        let said = try labeler.label(seen, mask: instance.mask, style: .short, maxTokens: 32).phrase
        scores.add("label_accuracy", said == instance.caption ? 1 : 0, instance)
        let clicked = instance.isPart ? best.0 : single
        let guessed =
          clicked.area == 0 ? "" : try labeler.label(seen, mask: clicked, style: .short, maxTokens: 32).phrase
        if let words = choices?.words {
          choices?.add(
            try labeler.weigh(seen, labeler.regionTokens(seen.features, instance.mask), words), instance, picture: done)
        }
        scores.add("label_accuracy_predicted", guessed == instance.caption ? 1 : 0, instance)
      }
      bar.update(done + 1)
    }
    var figures = scores.figures
    if !agreement.isEmpty {
      figures["mask_iou_fp32"] = agreement.reduce(0, +) / Double(agreement.count)
      figures["mask_iou_fp32_p05"] = agreement.sorted()[agreement.count / 20]
    }
    if let choices, let labeler {
      figures.merge(choices.figures(labeler.calibration, fitting: calibrate)) { $1 }
    }
    if json { return try printJSON(figures) }
    for (name, value) in figures.sorted(by: { $0.key < $1.key }) {
      let text = name.hasPrefix("n") ? String(Int(value)) : String(format: "%.4f", value)
      Standard.output("\(name.padding(toLength: 34, withPad: " ", startingAt: 0)) \(text)")
    }
  }
}

/// Sums of figures by kind of instance.
struct EvaluationScores {
  private var sums: [String: (sum: Double, count: Int)] = [:]

  mutating func add(_ name: String, _ value: Double, _ instance: EvaluationSet.Instance) {
    let suffix = instance.isPart ? "_parts" : ""
    for suffix in [suffix] + (instance.isUnseen && !instance.isPart ? ["_unseen"] : []) {
      let old = sums[name + suffix] ?? (0, 0)
      sums[name + suffix] = (old.sum + value, old.count + 1)
    }
  }

  /// Means, and the numbers of instances as `n`, `n_parts` and `n_unseen`.
  var figures: [String: Double] {
    var result: [String: Double] = [:]
    for (name, entry) in sums {
      result[name] = entry.sum / Double(entry.count)
      if name.hasPrefix("click_miou"), !name.hasPrefix("click_miou_best") {
        result["n" + name.dropFirst("click_miou".count)] = Double(entry.count)
      }
    }
    return result
  }
}
