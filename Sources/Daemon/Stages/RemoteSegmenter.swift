import Imaging
import Masks
import Wire

/// A picture in this process that workers have seen, or can see when they need it.
struct RemotePicture: Held {
  let handle: String
  let image: Image
  /// Its pixels are counted with the picture.
  var byteCount: Int { 0 }

  init(_ picture: Picture) { (handle, image) = (picture.handle, picture.image) }

  var attachment: StageAttachment {
    StageAttachment(
      handle: handle, width: image.width, height: image.height, content: .picture(.rgb8), bytes: image.pixels)
  }
}

/// Stage "segment" in other processes.
public struct RemoteSegmenter: SegmentEngine {
  private let pool: WorkerPool
  private var errand = Errand()
  /// So many masks of a picture are told of on the way.
  private static let mostTold = 1 << 14

  public init(_ pool: WorkerPool) { self.pool = pool }

  public var model: ModelDescription { pool.model(.segment, role: "segmenter") }

  public func working(for errand: Errand) -> any SegmentEngine {
    var copy = self
    copy.errand = errand
    return copy
  }

  public func embed(_ image: Image) throws -> any Held { try embed(Picture(image)) }

  /// Has a worker look at the picture. Which one holds what it saw is the workers' own business: another looks again.
  public func embed(_ picture: Picture) throws -> any Held {
    let remote = RemotePicture(picture)
    let request = Request(.putImage(.handle(remote.handle)))
    let call = StageCall(.segment, request, about: remote.attachment, for: errand)
    _ = try pool.call(call, isCancelled: { errand.isCancelled })
    return remote
  }

  public func predict(
    _ embedding: any Held, _ prompts: [Prompt], multimask: Bool, withLogits: Bool, isCancelled: () -> Bool
  ) throws -> [[FoundMask]] {
    let remote = try own(embedding)
    var blobs: [[UInt8]] = []
    var request = SegmentRequest(image: .handle(remote.handle), prompts: [])
    (request.multimask, request.logits) = (multimask, withLogits)
    for prompt in prompts {
      var sent = WirePrompt(points: prompt.points, pointLabels: prompt.pointLabels, box: prompt.box)
      if let logits = prompt.maskInput {
        sent.maskInputBlob = blobs.count
        blobs.append(LittleEndian.bytes(logits))
      }
      request.prompts.append(sent)
    }
    let lane = errand.takesLong ? Lane.automatic : .segment
    let call = StageCall(lane, Request(.segment(request)), blobs: blobs, about: remote.attachment, for: errand)
    let result = try pool.call(call, isCancelled: isCancelled)
    let found = try masks(result.body, result.blobs, of: remote)
    guard found.count == prompts.count else {
      throw Self.nonsense("\(found.count) lists of masks for \(prompts.count) prompts")
    }
    // HQ-SAM gives one of the three.
    for masks in found where masks.count != 1 && !(multimask && masks.count == 3) {
      throw Self.nonsense("\(masks.count) masks for a prompt\(multimask ? " that asks for three" : "")")
    }
    return found
  }

  public func automatic(
    _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool,
    watch: (([FoundMask]) -> Void)?
  ) throws -> [FoundMask] {
    let remote = try own(embedding)
    var auto = AutoRequest(image: .handle(remote.handle))
    auto.parameters = parameters
    var request = Request(.auto(auto))
    request.stream = watch != nil
    var told: [FoundMask] = []
    let call = StageCall(.automatic, request, about: remote.attachment, for: errand)
    let result = try pool.call(call, isCancelled: isCancelled) { body throws(WireError) in
      let news = try masks(body, [], of: remote).flatMap { $0 }
      guard let watch, told.count + news.count <= Self.mostTold else {
        throw Self.nonsense("masks that nobody asked for")
      }
      // Another worker says it again where one died halfway.
      let fresh = news.filter { !told.contains($0) }
      told += fresh
      if !fresh.isEmpty { watch(fresh) }
    }
    return try masks(result.body, result.blobs, of: remote).flatMap { $0 }
  }

  private func own(_ embedding: any Held) throws(WireError) -> RemotePicture {
    guard let remote = embedding as? RemotePicture else {
      throw WireError(.internal, "the embedding is not of the workers")
    }
    return remote
  }

  private func masks(
    _ bytes: [UInt8], _ blobs: [[UInt8]], of remote: RemotePicture
  ) throws(WireError) -> [[FoundMask]] {
    let body = try StageProtocol.body(bytes, from: "a worker of stage 'segment'")
    guard let lists = body["masks"]?.array else { throw Self.nonsense("no masks") }
    var masks: [[FoundMask]] = []
    for list in lists {
      var found: [FoundMask] = []
      for entry in list.array ?? [] {
        guard let mask = FoundMask(entry, blobs: blobs), mask.mask.width == remote.image.width,
          mask.mask.height == remote.image.height
        else { throw Self.nonsense("what is no mask of the picture") }
        found.append(mask)
      }
      masks.append(found)
    }
    return masks
  }

  private static func nonsense(_ what: String) -> WireError {
    WireError(.internal, "a worker of stage 'segment' sent \(what)")
  }
}
