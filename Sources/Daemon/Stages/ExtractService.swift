import Masks
import Osprey
import Wire

/// A worker of stage "extract": pictures in, image tokens out, once for each; and masks in, each region's tokens out.
public struct ExtractService: StageService {
  private let labeler: OspreyEngine
  private let pictures: PictureStore

  public init(_ labeler: OspreyEngine, pictures: PictureStore = .init()) {
    (self.labeler, self.pictures) = (labeler, pictures)
  }

  public var stage: Pipeline.Stage { .extract }
  public var model: ModelDescription { labeler.model }
  public var credit: [Lane: Int] { [.extract: 1] }

  public func perform(_ work: StageWork) throws -> StageResult {
    let request = try work.request()
    let picture = try pictures.picture(work, StageWork.handle(request))
    let features = try picture.remember(.features, of: StageWork.models) { try labeler.look(picture.image) }
    pictures.trim()
    switch request.operation {
    case .putImage:
      let (rows, columns, values) = try labeler.imageTokens(features)
      let shape = JSONValue.array([.integer(rows), .integer(columns)])
      let tokens = JSONValue(entries: [("blob", .integer(0)), ("dtype", .string("float32")), ("shape", shape)])
      return StageResult(
        body: JSONValue(entries: [("image_tokens", tokens)]).serialized(), blobs: [LittleEndian.bytes(values)])
    case .label(let label):
      guard case .masks(let masks) = label.regions else { throw WireError(.badRequest, "a job's regions are masks") }
      var regions: [RegionTokens] = []
      for given in masks {
        if work.isCancelled { throw WireError.wasCancelled }
        guard let mask = try? given.runs() else { throw WireError(.badRequest, "masks: one is no mask") }
        regions.append(try labeler.regionTokens(features, mask))
      }
      let sent = SentRegions(regions)
      return StageResult(body: JSONValue(entries: sent.fields).serialized(), blobs: [sent.bytes])
    default: throw WireError(.badRequest, "op '\(request.operation.name)' is no job of stage 'extract'")
    }
  }
}

extension OspreyEngine {
  /// What the language model gets of a picture, `[rows, columns]`.
  func imageTokens(_ features: any Held) throws(WireError) -> (rows: Int, columns: Int, values: [Float]) {
    let tokens = try ownFeatures(features).imageTokens
    return (tokens.shape[0], tokens.shape[1], tokens.values)
  }

  func regionTokens(_ features: any Held, _ mask: RunLengthEncoding) throws(WireError) -> RegionTokens {
    let features = try ownFeatures(features)
    do throws(OspreyError) {
      return try labeler.regionTokens(features, mask.bitMask())
    } catch {
      throw Self.explain(error)
    }
  }

  private func ownFeatures(_ features: any Held) throws(WireError) -> ImageFeatures {
    guard let features = features as? ImageFeatures else {
      throw WireError(.internal, "the features are not of this labeler")
    }
    return features
  }
}
