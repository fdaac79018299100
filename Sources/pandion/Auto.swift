import ArgumentParser
import Daemon
import Wire

/// `pandion auto`: masks for everything in a picture.
struct Auto: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Masks for everything in a picture.")

  @Argument(help: ArgumentHelp("A PNG or JPEG picture.", valueName: "IMAGE")) var image: String
  @OptionGroup var automatic: AutomaticOptions
  @OptionGroup var models: ModelOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let picture = try PictureFile(image)
    var request = AutoRequest(image: picture.reference)
    request.parameters = automatic.parameters
    let exchange = try Exchange(.auto(request), blobs: [picture.bytes], models: models, output: output)
    if let path = output.overlay { try exchange.writeOverlay(path, over: picture.image) }
    if output.json { return exchange.printMasks() }
    for mask in exchange.masks { Standard.output(MaskLine(mask).text) }
  }
}

/// Every parameter of `SamAutomaticMaskGenerator`, by its name; the model's defaults where none is given.
struct AutomaticOptions: ParsableArguments {
  @Option(help: "Points along one side of the grid (32).") var pointsPerSide: Int?
  @Option(help: "Points decoded together (64).") var pointsPerBatch: Int?
  @Option(help: "Keep masks whose predicted IoU is above this (0.88).") var predIouThresh: Double?
  @Option(help: "Keep masks at least this stable (0.95).") var stabilityScoreThresh: Double?
  @Option(help: "The change of the cut-off that stability is measured by (1.0).") var stabilityScoreOffset: Double?
  @Option(help: "The IoU of boxes above which one of two masks goes (0.7).") var boxNmsThresh: Double?
  @Option(help: "Layers of crops besides the whole picture (0).") var cropNLayers: Int?
  @Option(help: "Like --box-nms-thresh, between crops (0.7).") var cropNmsThresh: Double?
  @Option(help: "How far crops overlap, as a share of the picture (0.3413).") var cropOverlapRatio: Double?
  @Option(help: "By how much each layer's grid is coarser (1).") var cropNPointsDownscaleFactor: Int?
  @Option(help: "Fill holes and drop islands smaller than this many pixels (0).") var minMaskRegionArea: Int?
  @Option(help: "Keep no more than this many masks, the best first.") var maxMasks: Int?

  var parameters: AutomaticParameters {
    var parameters = AutomaticParameters()
    parameters.pointsPerSide = pointsPerSide
    parameters.pointsPerBatch = pointsPerBatch
    parameters.predIoUThresh = predIouThresh
    parameters.stabilityScoreThresh = stabilityScoreThresh
    parameters.stabilityScoreOffset = stabilityScoreOffset
    parameters.boxNMSThresh = boxNmsThresh
    parameters.cropNLayers = cropNLayers
    parameters.cropNMSThresh = cropNmsThresh
    parameters.cropOverlapRatio = cropOverlapRatio
    parameters.cropNPointsDownscaleFactor = cropNPointsDownscaleFactor
    parameters.minMaskRegionArea = minMaskRegionArea
    parameters.maxMasks = maxMasks
    return parameters
  }
}
