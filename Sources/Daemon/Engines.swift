import Imaging
import Masks
import Wire

/// What a model remembers of a picture, with the memory it takes.
public protocol Held: Sendable {
  /// In bytes.
  var byteCount: Int { get }
}

/// A model in this process, as `models` tells about it.
public struct ModelDescription: Sendable, Equatable {
  public var name: String
  /// `segmenter` or `labeler`.
  public var role: String
  public var architecture: String
  private let digests: ModelDigests
  /// Files and their sha256 in hexadecimal, where they are known by now.
  public var files: [(path: String, sha256: String)] { digests.known }

  public init(name: String, role: String, architecture: String, digests: ModelDigests = ModelDigests()) {
    (self.name, self.role, self.architecture, self.digests) = (name, role, architecture, digests)
  }

  var json: JSONValue {
    JSONValue(entries: [
      ("name", .string(name)), ("role", .string(role)), ("architecture", .string(architecture)),
      (
        "files",
        .array(files.map { JSONValue(entries: [("path", .string($0.path)), ("sha256", .string($0.sha256))]) })
      ),
    ])
  }

  public static func == (a: ModelDescription, b: ModelDescription) -> Bool { a.json == b.json }
}

/// The model of stage "segment". Called by the daemon from two threads at once: for clicks, and for masks of everything.
///
/// What it throws reaches the client: a `WireError` as it is, anything else as `internal`.
public protocol SegmentEngine: Sendable {
  var model: ModelDescription { get }

  /// The same model for the sake of one job, where the engine has a use for knowing whose.
  func working(for errand: Errand) -> any SegmentEngine

  /// Looks at a picture, once for all prompts on it.
  func embed(_ image: Image) throws -> any Held

  /// The same for a picture with its name, where the engine has a use for that.
  func embed(_ picture: Picture) throws -> any Held

  /// The masks of each prompt: three with `multimask` (of HQ-SAM still one), else one.
  ///
  /// - Parameters:
  ///   - withLogits: whether the masks carry their low-resolution logits.
  ///   - isCancelled: asked between prompts; true makes it throw `cancelled`.
  func predict(
    _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool, isCancelled: () -> Bool
  ) throws -> [[FoundMask]]

  /// Masks of everything in a picture.
  ///
  /// - Parameters:
  ///   - isCancelled: asked every few milliseconds, since clicks overtake meanwhile; true makes it throw `cancelled`.
  ///   - watch: gets masks on the way, coarse to fine, each time those that are new; the list in the end may not have them. Nil
  ///     where nobody watches.
  func automatic(
    _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool,
    watch: (([FoundMask]) -> Void)?
  ) throws -> [FoundMask]
}

extension SegmentEngine {
  public func embed(_ picture: Picture) throws -> any Held { try embed(picture.image) }
}

/// A mask that a segmenter found.
public struct FoundMask: Sendable, Equatable {
  public var mask: RunLengthEncoding
  public var predictedIoU: Float?
  public var stabilityScore: Float?
  /// The points that an automatic mask was found from.
  public var pointCoords: [Point<SourceFrame>]?
  /// The crop that an automatic mask was found in: x, y, width, height.
  public var cropBox: [Int]?
  public var logits: Logits?

  /// Logits on the model's low-resolution grid, `[height, width]`, in the padded frame.
  public struct Logits: Sendable, Equatable {
    public var height: Int
    public var width: Int
    public var values: [Float]
    public init(height: Int, width: Int, values: [Float]) {
      (self.height, self.width, self.values) = (height, width, values)
    }
  }

  public init(mask: RunLengthEncoding, predictedIoU: Float? = nil, stabilityScore: Float? = nil) {
    (self.mask, self.predictedIoU, self.stabilityScore) = (mask, predictedIoU, stabilityScore)
  }
}
