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

  public init(_ pool: WorkerPool) { self.pool = pool }

  public var model: ModelDescription { pool.model(.segment, role: "segmenter") }

  public func embed(_ image: Image) throws -> any Held { try embed(Picture(image)) }

  /// Has a worker look at the picture. Which one holds what it saw is the workers' own business: another looks again.
  public func embed(_ picture: Picture) throws -> any Held {
    let remote = RemotePicture(picture)
    let request = Request(.putImage(.handle(remote.handle)))
    _ = try pool.call(StageCall(.segment, request, about: remote.attachment))
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
    let call = StageCall(.segment, Request(.segment(request)), blobs: blobs, about: remote.attachment)
    let found = try masks(pool.call(call, isCancelled: isCancelled), of: remote)
    guard found.count == prompts.count else {
      throw Self.nonsense("\(found.count) lists of masks for \(prompts.count) prompts")
    }
    return found
  }

  public func automatic(
    _ image: Image, _ embedding: any Held, _ parameters: AutomaticParameters, isCancelled: () -> Bool
  ) throws -> [FoundMask] {
    let remote = try own(embedding)
    var request = AutoRequest(image: .handle(remote.handle))
    request.parameters = parameters
    let call = StageCall(.automatic, Request(.auto(request)), about: remote.attachment)
    return try masks(pool.call(call, isCancelled: isCancelled), of: remote).flatMap { $0 }
  }

  private func own(_ embedding: any Held) throws(WireError) -> RemotePicture {
    guard let remote = embedding as? RemotePicture else {
      throw WireError(.internal, "the embedding is not of the workers")
    }
    return remote
  }

  private func masks(_ result: StageResult, of remote: RemotePicture) throws(WireError) -> [[FoundMask]] {
    let body = try StageProtocol.body(result.body, from: "a worker of stage 'segment'")
    guard let lists = body["masks"]?.array else { throw Self.nonsense("no masks") }
    var masks: [[FoundMask]] = []
    for list in lists {
      var found: [FoundMask] = []
      for entry in list.array ?? [] {
        guard let mask = FoundMask(entry, blobs: result.blobs), mask.mask.width == remote.image.width,
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
