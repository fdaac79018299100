import Imaging
import Masks
import Wire

/// A worker of stage "segment": pictures and prompts in, masks out. Clicks and what takes long, such as masks of everything, are
/// worked on at the same time, the latter giving way.
public struct SegmentService: StageService {
  private let segmenter: any SegmentEngine
  private let pictures: PictureStore
  private let rightOfWay = RightOfWay()

  public init(_ segmenter: any SegmentEngine, pictures: PictureStore = .init()) {
    (self.segmenter, self.pictures) = (segmenter, pictures)
  }

  public var stage: Pipeline.Stage { .segment }
  public var model: ModelDescription { segmenter.model }
  public var credit: [Lane: Int] { [.segment: 1, .automatic: 1] }

  public func perform(_ work: StageWork) throws -> StageResult {
    let request = try work.request()
    let picture = try pictures.picture(work, StageWork.handle(request))
    if work.message.lane == .automatic { return try perform(request, picture, work) }
    return try rightOfWay.goFirst { try perform(request, picture, work) }
  }

  private func perform(_ request: Request, _ picture: Picture, _ work: StageWork) throws -> StageResult {
    let embedding = try picture.remember(.embedding, of: StageWork.models) { try segmenter.embed(picture.image) }
    pictures.trim()
    let isCancelled = {
      if work.message.lane == .automatic { rightOfWay.giveWay() }
      return work.isCancelled
    }
    switch request.operation {
    case .putImage: return StageResult()
    case .segment(let segment):
      var prompts: [Prompt] = []
      for prompt in segment.prompts {
        var logits: [Float]?
        if let blob = prompt.maskInputBlob {
          guard let values = LittleEndian.floats(work.message.blobs[blob]) else {
            throw WireError(.badRequest, "a mask_input is no list of finite float32")
          }
          logits = values
        }
        prompts.append(
          Prompt(points: prompt.points, pointLabels: prompt.pointLabels, box: prompt.box, maskInput: logits))
      }
      return Self.result(
        try segmenter.predict(
          embedding, prompts, multimask: segment.multimask, withLogits: segment.logits, isCancelled: isCancelled))
    case .auto(let auto):
      let masks = try segmenter.automatic(
        picture.image, embedding, auto.parameters, isCancelled: isCancelled,
        watch: request.stream ? { work.send(partial: Self.body([$0]).json) } : nil)
      return Self.result([masks])
    default: throw WireError(.badRequest, "op '\(request.operation.name)' is no job of stage 'segment'")
    }
  }

  private static func result(_ masks: [[FoundMask]]) -> StageResult {
    let (json, blobs) = body(masks)
    return StageResult(body: json.serialized(), blobs: blobs)
  }

  private static func body(_ masks: [[FoundMask]]) -> (json: JSONValue, blobs: [[UInt8]]) {
    var blobs: [[UInt8]] = []
    let lists = masks.map { list in JSONValue.array(list.map { $0.json(&blobs) }) }
    return (JSONValue(entries: [("masks", .array(lists))]), blobs)
  }
}

extension PictureStore {
  /// The picture of a job, which came with it or is held by now.
  func picture(_ work: StageWork, _ handle: String) throws -> Picture {
    guard let attached = work.message.attachment else {
      guard let picture = find(handle) else { throw MissingAttachment() }
      return picture
    }
    guard attached.handle == handle, case .picture(let encoding) = attached.content else {
      throw WireError(.badRequest, "what is attached is not the picture that the job is about")
    }
    if let known = find(handle) { return known }
    guard let raw = RawEncoding(rawValue: encoding.rawValue), let channels = encoding.channels else {
      return hold(Picture(try Image.decode(attached.bytes), handle: handle))
    }
    return hold(
      Picture(
        try Image(
          raw: attached.bytes, encoding: raw, width: attached.width, height: attached.height,
          step: attached.width * channels), handle: handle))
  }
}
