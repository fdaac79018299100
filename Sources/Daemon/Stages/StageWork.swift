import Synchronization
import Wire

/// A job as a worker has it.
public final class StageWork: Sendable {
  /// A worker's models never change.
  static let models = Pipeline.Models()

  let message: StageJobMessage
  private let cancelled = Atomic<Bool>(false)
  /// Takes what is known on the way to the result to the daemon.
  private let outbox: Mailbox<WorkerProcess.News>?

  init(_ message: StageJobMessage, outbox: Mailbox<WorkerProcess.News>? = nil) {
    (self.message, self.outbox) = (message, outbox)
  }

  func send(partial body: JSONValue) {
    outbox?.put(.message(.partial(ticket: message.ticket, body: body.serialized()), of: self))
  }

  var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
  func cancel() { cancelled.store(true, ordering: .relaxed) }

  func request() throws(WireError) -> Request {
    do throws(RefusedRequest) {
      return try Request(header: message.body, blobs: message.blobs.count, limits: StageProtocol.jobLimits)
    } catch {
      throw error.error
    }
  }

  /// The handle of the picture that the request is about.
  static func handle(_ request: Request) throws(WireError) -> String {
    guard case .handle(let handle)? = request.operation.image else {
      throw WireError(.badRequest, "a job's image is a handle")
    }
    return handle
  }
}

/// The worker does not hold what a job's handle names: it is sent again with it.
struct MissingAttachment: Error {}

/// What a worker of one stage does. Called from as many threads at once as it takes jobs.
public protocol StageService: Sendable {
  var stage: Pipeline.Stage { get }
  var model: ModelDescription { get }
  /// How many jobs of each lane it works on at a time.
  var credit: [Lane: Int] { get }

  /// - Throws: `MissingAttachment`, or what the daemon is told.
  func perform(_ work: StageWork) throws -> StageResult
}
