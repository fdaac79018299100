import ArgumentParser
import Daemon
import Foundation
import Wire

/// `pandion auto`: masks for everything in a picture, or in each picture of a folder.
struct Auto: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Masks for everything in a picture, or in each picture of a folder.",
    discussion: """
      With --out, what segment-anything's amg.py writes: for each picture DIR/NAME/ with a PNG a mask and metadata.csv, or \
      DIR/NAME.json with the masks as COCO RLE. A folder's pictures are its .png, .jpg and .jpeg files. Pictures whose \
      output is there are skipped, so a run that was cut goes on where it stopped.
      """)

  @Argument(help: ArgumentHelp("A PNG or JPEG picture, or a folder of them.", valueName: "IMAGE|FOLDER"))
  var image: String
  @Option(help: ArgumentHelp("Write files there instead of printing; needed for a folder.", valueName: "DIR"))
  var out: String?
  @Option(help: "How --out writes masks, by SamAutomaticMaskGenerator's names.")
  var outputMode: MaskFolder.Mode = .binaryMask
  @OptionGroup var automatic: AutomaticOptions
  @OptionGroup var models: ModelOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if out != nil, output.json || output.overlay != nil {
      throw ValidationError("--out writes files; --json and --overlay go without it")
    }
  }

  func run() throws {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: image, isDirectory: &isFolder)
    if let out { return try write(try MaskFolder.pictures(at: image), to: MaskFolder(out, mode: outputMode)) }
    if exists, isFolder.boolValue { throw ValidationError("\(image) is a folder: say where to write with --out DIR") }
    let picture = try PictureFile(image)
    let exchange = try Exchange(try request(picture), blobs: [picture.bytes], models: models, output: output)
    if let path = output.overlay { try exchange.writeOverlay(path, over: picture.image) }
    if output.json { return exchange.printMasks() }
    for mask in exchange.masks { Standard.output(MaskLine(mask).text) }
  }

  private func request(_ picture: PictureFile, masks: MaskEncoding = .cocoRLE) throws -> Request.Operation {
    var request = AutoRequest(image: picture.reference)
    request.parameters = try automatic.parameters()
    request.masks = masks
    return .auto(request)
  }

  /// Does each picture whose output is not there yet. One that cannot be done is told and passed over.
  private func write(_ pictures: [String], to folder: MaskFolder) throws {
    let left = pictures.filter { !folder.holds($0) }
    guard !left.isEmpty else {
      return Standard.error("nothing to do: \(pictures.count) of \(pictures.count) are in \(folder.path)")
    }
    let backend = try Backend(for: .auto(AutoRequest(image: .handle(""))), models: models, output: output)
    let bar = ProgressBar("auto", total: pictures.count)
    var failed = 0
    for (done, path) in left.enumerated() {
      bar.update(pictures.count - left.count + done)
      do {
        let picture = try PictureFile(path)
        let masks = outputMode == .uncompressedRLE ? MaskEncoding.cocoRLERaw : .cocoRLE
        try folder.write(backend.ask(request(picture, masks: masks), blobs: [picture.bytes]).masks, of: path)
      } catch {
        failed += 1
        Standard.error("\(path): \(error)")
      }
    }
    bar.update(pictures.count)
    Standard.output("\(left.count - failed) done, \(pictures.count - left.count) were there, \(failed) failed")
    if failed > 0 { throw ExitCode.failure }
  }
}

/// Every parameter of `SamAutomaticMaskGenerator`, by its name; the model's defaults where none is given.
struct AutomaticOptions: ParsableArguments {
  @Option(help: "Points along one side of the grid (32).") var pointsPerSide: Int?
  @Option(help: "Points that the reference decodes together (64); changes nothing here.") var pointsPerBatch: Int?
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

  @Option(
    help: ArgumentHelp(
      "Points of your own for each layer of crops, x and y in 0…1: [[[x,y],…],…].", valueName: "F.json"))
  var pointGrids: String?

  func parameters() throws -> AutomaticParameters {
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
    if let pointGrids {
      if pointsPerSide != nil { throw ValidationError("give --points-per-side or --point-grids, not both") }
      parameters.pointGrids = try AutomaticParameters.pointGrids(FileReading.bytes(pointGrids, limit: 1 << 26))
    }
    return parameters
  }
}
