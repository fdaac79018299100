import Imaging
import Masks
import Synchronization
import Wire

/// The three stages that a request goes through: the one way to an answer, for the daemon, whose threads run a stage
/// each, and for the command line, which runs one after the other.
public final class Pipeline: Sendable {
  public enum Stage: String, Sendable, CaseIterable { case segment, extract, language }

  /// What is loaded now; a job goes through all stages with what it began with.
  private let held: Mutex<Models>
  public let pictures: PictureStore
  public let limits: WireLimits
  public let decodeLimits: DecodeLimits
  /// Lets clicks overtake masks of everything.
  let rightOfWay = RightOfWay()
  /// The program's version, for `hello`.
  public let version: String

  /// - Parameters:
  ///   - segmenter: without one, requests that need it get `model_unavailable`.
  ///   - labeler: likewise.
  public init(
    segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?, version: String = "0",
    pictures: PictureStore = .init(),
    limits: WireLimits = .init(), decodeLimits: DecodeLimits = .default
  ) {
    held = Mutex(Models(segmenter: segmenter, labeler: labeler))
    self.version = version
    (self.pictures, self.limits, self.decodeLimits) = (pictures, limits, decodeLimits)
  }

  var models: Models { held.withLock { $0 } }
  public var segmenter: (any SegmentEngine)? { models.segmenter }
  public var labeler: (any LabelEngine)? { models.labeler }

  /// Takes other models for what begins from now on. The old ones go once the last job has left them; what they saw in
  /// pictures is forgotten.
  public func replace(segmenter: (any SegmentEngine)?, labeler: (any LabelEngine)?) {
    held.withLock { $0 = Models(segmenter: segmenter, labeler: labeler, generation: $0.generation + 1) }
    pictures.forgetWhatWasSeen()
  }

  /// Answers a request here and now; an error is an answer too.
  public func perform(_ request: Request, blobs: [[UInt8]] = []) -> Reply {
    let job = Job(request, blobs: blobs)
    var stage = first(request)
    while let current = stage {
      run(current, job)
      stage = next(current, job)
    }
    return job.reply ?? immediate(request)
  }

  /// The stage that a request begins with; none for those that need no work.
  func first(_ request: Request) -> Stage? {
    switch request.operation {
    case .putImage, .segment, .auto, .label: .segment
    case .hello, .models, .cancel, .health, .stats, .drain: nil
    }
  }

  /// The stage after this one; none once there is a reply.
  func next(_ stage: Stage, _ job: Job) -> Stage? {
    if job.reply != nil { return nil }
    return switch stage {
    case .segment: .extract
    case .extract: .language
    case .language: nil
    }
  }

  /// Runs one stage; the job has a reply when it was the last, or when it failed.
  func run(_ stage: Stage, _ job: Job) {
    do {
      let models = (job.models ?? self.models).working(for: Errand(job))
      job.models = models
      try job.checkWanted(stage)
      switch stage {
      case .segment:
        if job.givesWay {
          try segment(job, models)
        } else {
          try rightOfWay.goFirst { try segment(job, models) }
        }
      case .extract: try extract(job, models)
      case .language: try language(job, models)
      }
    } catch {
      job.reply = Reply(to: job.request, Self.explain(error))
    }
  }

  /// Answers what needs no model.
  func immediate(_ request: Request) -> Reply {
    let held = self.models
    let models = JSONValue.array([held.segmenter?.model, held.labeler?.model].compactMap { $0?.json })
    switch request.operation {
    case .models: return Reply(to: request, [("models", models)])
    case .hello:
      let encodings = JSONValue(entries: [
        ("image", .array(ImageEncoding.allCases.map { .string($0.rawValue) })),
        ("masks", .array(MaskEncoding.allCases.map { .string($0.rawValue) })),
      ])
      let operations = ["hello", "put_image", "segment", "auto", "label", "models"]
      return Reply(
        to: request,
        [
          ("name", .string("pandion")), ("version", .string(version)), ("wire", .array([.integer(Request.version)])),
          ("ops", .array(operations.map { .string($0) })), ("encodings", encodings), ("limits", limits.json),
          ("models", models),
        ])
    default:
      return Reply(
        to: request, WireError(.badRequest, "op '\(request.operation.name)' goes to a daemon's control endpoint"))
    }
  }

  /// The models of one time.
  struct Models: Sendable {
    var segmenter: (any SegmentEngine)?
    var labeler: (any LabelEngine)?
    /// How often they were replaced; tells what was seen with which.
    var generation = 0
    /// For whom they work.
    var errand = Errand()
  }

  /// Any error as the wire tells it.
  static func explain(_ error: any Error) -> WireError {
    switch error {
    case let error as WireError: error
    case ImagingError.tooLarge: WireError(.tooLarge, "image: \(error)")
    case let error as ImagingError: WireError(.badRequest, "image: \(error)")
    default: WireError(.internal, "\(error)")
    }
  }
}
