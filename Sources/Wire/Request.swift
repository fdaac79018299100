import Masks

/// A request: `[header JSON][blob 0]…[blob N]`, the direction from a client to the daemon (DESIGN §3).
public struct Request: Sendable, Equatable {
  /// The one version of this protocol that there is.
  public static let version = 1

  public var operation: Operation
  /// The client's name for the request; a repeated one gets the same answer.
  public var id: String?
  /// How long after its arrival the request is still worth starting, in milliseconds.
  public var deadlineMilliseconds: Int?
  /// Higher goes first among those that wait; 0 unless given.
  public var priority = 0
  /// Copied unchanged into the reply: the picture's time and frame of reference, as ROS has them.
  public var stamp: JSONValue?
  public var frameID: String?
  /// Whether partial replies are wanted.
  public var stream = false
  /// A correlation id for logs.
  public var trace: String?

  public init(_ operation: Operation, id: String? = nil) { (self.operation, self.id) = (operation, id) }

  /// What is asked for, with the fields of each `op`.
  public enum Operation: Sendable, Equatable {
    case hello
    case models
    case putImage(ImageReference)
    case segment(SegmentRequest)
    case auto(AutoRequest)
    case label(LabelRequest)
    /// The following go to the control endpoint. Withdraws the waiting and running requests of this id.
    case cancel(request: String)
    case health
    case stats
    /// Ends the daemon once it has finished what it accepted.
    case drain

    /// Every `op` that there is.
    public static let names = [
      "hello", "put_image", "segment", "auto", "label", "models", "cancel", "health", "stats", "drain",
    ]

    public var name: String {
      switch self {
      case .hello: "hello"
      case .models: "models"
      case .putImage: "put_image"
      case .segment: "segment"
      case .auto: "auto"
      case .label: "label"
      case .cancel: "cancel"
      case .health: "health"
      case .stats: "stats"
      case .drain: "drain"
      }
    }

    /// The picture that it is about, if it is about one.
    public var image: ImageReference? {
      switch self {
      case .putImage(let image): image
      case .segment(let request): request.image
      case .auto(let request): request.image
      case .label(let request): request.image
      case .hello, .models, .cancel, .health, .stats, .drain: nil
      }
    }
  }
}

/// Where a request's picture comes from.
public enum ImageReference: Sendable, Equatable {
  /// The bytes of a blob.
  case blob(index: Int, encoding: ImageEncoding, raw: RawLayout?)
  /// A picture that the daemon still holds: `sha256:` and 64 hexadecimal digits.
  case handle(String)

  /// Size in pixels and bytes from row to row, for the raw encodings.
  public struct RawLayout: Sendable, Equatable {
    public var width: Int
    public var height: Int
    public var step: Int
    public init(width: Int, height: Int, step: Int) { (self.width, self.height, self.step) = (width, height, step) }
  }
}

/// What a picture's bytes are.
public enum ImageEncoding: String, Sendable, CaseIterable {
  case jpeg, png, rgb8, bgr8, rgba8, bgra8, mono8

  /// Bytes a pixel; none for the compressed encodings.
  public var channels: Int? {
    switch self {
    case .jpeg, .png: nil
    case .rgb8, .bgr8: 3
    case .rgba8, .bgra8: 4
    case .mono8: 1
    }
  }
}

/// How masks come back.
public enum MaskEncoding: String, Sendable, CaseIterable {
  case cocoRLE = "coco_rle"
  case cocoRLERaw = "coco_rle_raw"
  case png, polygon
  case labelMap = "label_map"
  case none
}

/// One prompt as it is on the wire: a `Prompt` whose mask input may still lie in a blob.
public struct WirePrompt: Sendable, Equatable {
  public var points: [Point<SourceFrame>]
  public var pointLabels: [Int]
  public var box: Box<SourceFrame>?
  /// The blob with float32 logits (little-endian) of an earlier prediction.
  public var maskInputBlob: Int?

  public init(
    points: [Point<SourceFrame>] = [], pointLabels: [Int] = [], box: Box<SourceFrame>? = nil, maskInputBlob: Int? = nil
  ) {
    (self.points, self.pointLabels, self.box, self.maskInputBlob) = (points, pointLabels, box, maskInputBlob)
  }
}

/// `segment`: masks for prompts.
public struct SegmentRequest: Sendable, Equatable {
  public var image: ImageReference
  public var prompts: [WirePrompt]
  /// Three masks for each prompt instead of one; true unless given.
  public var multimask = true
  public var masks = MaskEncoding.cocoRLE
  /// Whether low-resolution logits come back, as float32 blobs.
  public var logits = false

  public init(image: ImageReference, prompts: [WirePrompt]) { (self.image, self.prompts) = (image, prompts) }
}

/// `auto`: masks for everything in the picture.
public struct AutoRequest: Sendable, Equatable {
  public var image: ImageReference
  public var parameters = AutomaticParameters()
  public var masks = MaskEncoding.cocoRLE

  public init(image: ImageReference) { self.image = image }
}

/// A mask that a client brings: an object that has a `segmentation`, such as `auto` gives.
public struct GivenMask: Sendable, Equatable {
  public var height: Int
  public var width: Int
  public var counts: Counts
  /// Keys of the object that go into the reply as they came: `predicted_iou`, `stability_score`, `point_coords`, `crop_box`.
  public var kept: [KeptKey: JSONValue] = [:]

  public enum Counts: Sendable, Equatable {
    case compressed(String)
    case raw([Int])
  }

  public enum KeptKey: String, Sendable, CaseIterable {
    case predictedIoU = "predicted_iou"
    case stabilityScore = "stability_score"
    case pointCoords = "point_coords"
    case cropBox = "crop_box"
  }

  public init(height: Int, width: Int, counts: Counts) {
    (self.height, self.width, self.counts) = (height, width, counts)
  }
}

/// SAM's parameters for automatic masks, by SAM's names; the model's defaults where none is given.
public struct AutomaticParameters: Sendable, Equatable {
  public var pointsPerSide: Int?
  public var pointsPerBatch: Int?
  public var predIoUThresh: Double?
  public var stabilityScoreThresh: Double?
  public var stabilityScoreOffset: Double?
  public var boxNMSThresh: Double?
  public var cropNLayers: Int?
  public var cropNMSThresh: Double?
  public var cropOverlapRatio: Double?
  public var cropNPointsDownscaleFactor: Int?
  /// For each layer of crops its points, x and y in 0…1.
  public var pointGrids: [[Point<UnitFrame>]]?
  public var minMaskRegionArea: Int?
  /// Keep no more than the best of this number, by predicted IoU.
  public var maxMasks: Int?

  public init() {}
}

/// A picture or crop scaled to 0…1 on each axis.
public enum UnitFrame: Sendable {}
