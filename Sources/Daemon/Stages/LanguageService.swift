import Osprey
import Synchronization
import Tensors
import Wire

/// A worker of stage "language": an image's tokens in, once for each; then its regions' tokens with a question, words out.
/// All jobs are decoded together, step by step.
public struct LanguageService: StageService {
  private let labeler: OspreyEngine
  private let shelf: Shelf
  private let count: Int

  /// - Parameters:
  ///   - bytes: the most memory of what the language model made of pictures; that of the last one is held even if it alone
  ///     is larger.
  ///   - count: how many jobs it takes at a time.
  public init(_ labeler: OspreyEngine, bytes: Int = 1 << 30, count: Int = 4) {
    (self.labeler, self.count) = (labeler, count)
    shelf = Shelf(bytes: bytes)
  }

  public var stage: Pipeline.Stage { .language }
  public var model: ModelDescription { labeler.model }
  public var credit: [Lane: Int] { [.language: count] }

  public func perform(_ work: StageWork) throws -> StageResult {
    let request = try work.request()
    let image = try image(work, StageWork.handle(request), request.priority)
    switch request.operation {
    case .putImage: return StageResult()
    case .label(let label):
      let body = try StageProtocol.body(work.message.body, from: "the daemon")
      guard let sent = SentRegions(body, blobs: work.message.blobs) else {
        throw WireError(.badRequest, "regions and tokens are missing, or are none")
      }
      let tokens = try sent.tokens(width: labeler.width)
      func region(_ index: Int) throws(OspreyError) -> RegionTokens {
        guard let region = tokens[index] else {
          throw .regionPlaceholder(reason: "the tokens of mask \(index) were not sent")
        }
        return region
      }
      let wish = WordsWish(label, priority: request.priority)
      let total = body["count"]?.integer ?? sent.regions.count
      if wish.namesRegions {
        let answer = try labeler.answer(image, total, wish, regions: region) { work.isCancelled }
        return StageResult(body: JSONValue(entries: [("answer", answer.json)]).serialized())
      }
      try labeler.words(image, sent.regions.count, wish, regions: region) {
        work.isCancelled
      } report: { index, words in
        work.send(partial: JSONValue(entries: [("index", .integer(index)), ("words", words.json)]))
      }
      return StageResult()
    default: throw WireError(.badRequest, "op '\(request.operation.name)' is no job of stage 'language'")
    }
  }

  /// The picture of a job as the language model has it, from the tokens that came with the job or those of an earlier one.
  private func image(_ work: StageWork, _ handle: String, _ priority: Int) throws -> OspreyImage {
    if let known = shelf.find(handle) { return known }
    guard let attached = work.message.attachment else { throw MissingAttachment() }
    guard attached.handle == handle, case .tokens(let rows, let columns) = attached.content,
      let values = LittleEndian.floats(attached.bytes)
    else {
      throw WireError(.badRequest, "what is attached are not the finite tokens of the picture that the job is about")
    }
    guard columns == labeler.width else {
      throw WireError(.internal, "the image tokens have \(columns) numbers, this language model takes \(labeler.width)")
    }
    let features = ImageFeatures(
      width: attached.width, height: attached.height, imageTokens: Tensor([rows, columns], values))
    let image = try labeler.own(labeler.read(features, priority: priority) { work.isCancelled })
    shelf.hold(handle, image)
    return image
  }

  /// Pictures by handle, the one used last at the end.
  private final class Shelf: Sendable {
    private let bytes: Int
    private let images = Mutex<[(handle: String, image: OspreyImage)]>([])

    init(bytes: Int) { self.bytes = bytes }

    func find(_ handle: String) -> OspreyImage? {
      images.withLock { images in
        guard let index = images.firstIndex(where: { $0.handle == handle }) else { return nil }
        images.append(images.remove(at: index))
        return images.last?.image
      }
    }

    func hold(_ handle: String, _ image: OspreyImage) {
      images.withLock { images in
        images.removeAll { $0.handle == handle }
        images.append((handle, image))
        var sum = images.reduce(0) { $0 + $1.image.byteCount }
        while images.count > 1, sum > bytes { sum -= images.removeFirst().image.byteCount }
      }
    }
  }
}

extension OspreyEngine {
  /// How many numbers a token has in the language model.
  var width: Int { labeler.configuration.hiddenSize }
}
