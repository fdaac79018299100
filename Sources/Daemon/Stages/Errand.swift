import Synchronization
import Wire

/// For whom a model in another process works on one stage of a job: what decides when its turn comes, and whether.
public final class Errand: Sendable {
  /// Higher goes first among those that wait for a worker.
  let priority: Int
  /// Whether clicks shall not wait behind it.
  let takesLong: Bool
  private let deadline: (instant: ContinuousClock.Instant?, milliseconds: Int?)
  private let cancelled: @Sendable () -> Bool
  private let begun = Atomic<Bool>(false)

  /// One without a deadline, which nobody cancels.
  init() { (priority, takesLong, deadline, cancelled) = (0, false, (nil, nil), { false }) }

  init(_ job: Job) {
    (priority, takesLong) = (job.request.priority, job.request.operation.takesLong)
    deadline = (job.deadline, job.request.deadlineMilliseconds)
    // The job holds the models that work for it.
    cancelled = { [weak job] in job?.isCancelled ?? true }
  }

  var isCancelled: Bool { cancelled() }

  /// A worker has it: from now on its deadline stops nothing any more.
  func begin() { begun.store(true, ordering: .relaxed) }

  /// Refuses what nobody waits for any more, or what no worker has begun with in time.
  func checkWanted() throws(WireError) {
    if isCancelled { throw .wasCancelled }
    guard let instant = deadline.instant, !begun.load(ordering: .relaxed), .now >= instant else { return }
    throw .late(deadline.milliseconds, "a worker")
  }
}

extension SegmentEngine {
  public func working(for errand: Errand) -> any SegmentEngine { self }
}

extension LabelEngine {
  public func working(for errand: Errand) -> any LabelEngine { self }
}

extension Pipeline.Models {
  /// The same models for the sake of one job.
  func working(for errand: Errand) -> Pipeline.Models {
    var models = self
    (models.segmenter, models.labeler) = (segmenter?.working(for: errand), labeler?.working(for: errand))
    models.errand = errand
    return models
  }
}
