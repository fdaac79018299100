import Foundation
import Synchronization
import Wire
import ZeroMQ

/// How long is waited for workers.
public struct WorkerTiming: Sendable, Equatable {
  /// A worker whose I/O thread says nothing for so long is dead.
  public var silence = Duration.seconds(3)
  /// So is one that works on something and computes nothing for so long.
  public var stall = Duration.seconds(120)
  /// How long a job waits where no worker takes its lane.
  public var unavailable = Duration.seconds(5)

  public init() {}
}

/// The workers of the stages that do not run in this process: hands them jobs, and jobs of workers that die to others.
/// Any thread may call it; one of its own talks to the workers.
public final class WorkerPool: Sendable {
  /// How many different workers a job ends until it is poison.
  static let lives = 2
  /// How often a job is handed out that does not get poison meanwhile, and which nobody finishes.
  static let mostMoves = 8

  public let stages: Set<Pipeline.Stage>
  let endpoints: [String]
  /// The stages with workers that this daemon keeps running itself.
  let supervised: Set<Pipeline.Stage>
  let timing: WorkerTiming
  let log: @Sendable (String) -> Void
  private let state = Mutex<State>(State())
  private let finished = DispatchSemaphore(value: 0)

  /// What other threads than the pool's see.
  struct State {
    var mailbox: Mailbox<WorkerHub.Order>?
    var models: [Pipeline.Stage: ModelDescription] = [:]
    var counters = Counters()
    var quarantine = Quarantine()
    var bound: [String] = []
    /// Looks after what comes over TCP and is no message yet.
    var incoming: IncomingGuard?
    /// Told of a worker's name: that it takes work, that it was given up.
    var isReady: @Sendable (String) -> Void = { _ in }
    var isLost: @Sendable (String) -> Void = { _ in }
    /// The names of the workers that are kept running here.
    var supervisedNames: Set<String> = []
  }

  /// What `stats` tells.
  struct Counters: Equatable {
    var workers: [Pipeline.Stage: Int] = [:]
    /// Workers that were given up, jobs that went to another one, and those that were no good.
    var lost = 0
    var retried = 0
    var poisoned = 0
    /// Messages that were none, or about what is not the sender's.
    var strange = 0
  }

  /// - Parameters:
  ///   - endpoints: where workers connect to.
  ///   - stages: those that workers do.
  ///   - supervised: those of them with workers that are kept running here, which say what model it is to be.
  public init(
    _ stages: Set<Pipeline.Stage>, supervised: Set<Pipeline.Stage> = [], endpoints: [String],
    timing: WorkerTiming = WorkerTiming(), log: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    (self.stages, self.supervised, self.endpoints) = (stages, supervised, endpoints)
    (self.timing, self.log) = (timing, log)
  }

  /// Where workers connect to, with the ports that they became.
  public var boundEndpoints: [String] { state.withLock { $0.bound } }

  /// Where workers of this machine connect to.
  public var localEndpoint: String { boundEndpoints.first { $0.hasPrefix("ipc://") } ?? boundEndpoints.first ?? "" }

  func withState<R>(_ body: (inout State) -> R) -> R { state.withLock { body(&$0) } }

  /// Listens and starts the thread.
  func start(_ context: Context, secretKey: String?) throws(ZeroMQError) {
    let hub = try WorkerHub(self, context, secretKey: secretKey)
    state.withLock { ($0.mailbox, $0.bound) = (hub.mailbox, hub.bound) }
    let holder = Holder(hub)
    let thread = Thread { [self] in
      holder.run { self.log("the workers' thread failed: \($0)") }
      state.withLock { $0.mailbox = nil }
      finished.signal()
    }
    thread.name = "pandion-workers"
    thread.start()
  }

  /// Sends the workers home and ends the thread.
  func stop() {
    guard let mailbox = state.withLock({ $0.mailbox }) else { return }
    mailbox.put(.stop)
    finished.wait()
  }

  /// Waits until somebody serves each of the stages, or a minute has passed, or the end has come.
  public func awaitWorkers(of stages: [Pipeline.Stage]) {
    let end = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < end {
      let (isRunning, counts) = state.withLock { ($0.mailbox != nil, $0.counters.workers) }
      if !isRunning || stages.allSatisfy({ counts[$0, default: 0] > 0 }) { return }
      usleep(5000)
    }
  }

  /// A worker's process has ended, so that nobody has to wait until it is missed.
  func died(name: String) { state.withLock { $0.mailbox }?.put(.died(name: name)) }

  /// Has a worker do a job, and another if it dies.
  ///
  /// - Throws: `poison` for what has ended two workers, `model_unavailable` where there is none, `deadline` for what none has
  ///   begun in time, `cancelled`, and what the worker says.
  func call(
    _ call: StageCall, isCancelled: () -> Bool, partial: ([UInt8]) throws(WireError) -> Void = { _ in }
  ) throws(WireError) -> StageResult {
    if state.withLock({ !$0.quarantine.isEmpty }) {
      let hash = call.contentHash
      if state.withLock({ $0.quarantine.holds(hash) }) { throw Self.poison(call) }
    }
    guard let mailbox = state.withLock({ $0.mailbox }), mailbox.put(.call(call)) else {
      throw unavailable(call.lane)
    }
    do throws(WireError) {
      return try call.wait(isCancelled: isCancelled, partial: partial)
    } catch {
      // Where it has an outcome already nobody knows it any more, which is as well.
      call.finish(.failure(error))
      mailbox.put(.abandoned(call))
      throw error
    }
  }

  static func poison(_ call: StageCall) -> WireError {
    WireError(.poison, "this has ended \(lives) workers of stage '\(call.lane.stage.rawValue)' and is not tried again")
  }

  func unavailable(_ lane: Lane) -> WireError {
    WireError(
      .modelUnavailable, "no worker of stage '\(lane.stage.rawValue)' takes lane '\(lane.rawValue)' at the moment",
      retryAfterMilliseconds: 1000)
  }

  /// The model of a stage's workers, as the last of them told.
  func model(_ stage: Pipeline.Stage, role: String) -> ModelDescription {
    state.withLock { $0.models[stage] } ?? ModelDescription(name: "none yet", role: role, architecture: "unknown")
  }

  var stats: JSONValue {
    let (counters, quarantined) = state.withLock { ($0.counters, $0.quarantine.count) }
    let counts = Pipeline.Stage.allCases.filter { stages.contains($0) }.map {
      ($0.rawValue, JSONValue?.some(.integer(counters.workers[$0] ?? 0)))
    }
    return JSONValue(
      entries: counts + [
        ("lost", .integer(counters.lost)), ("retried", .integer(counters.retried)),
        ("poisoned", .integer(counters.poisoned)), ("quarantined", .integer(quarantined)),
        ("strange", .integer(counters.strange)),
      ])
  }
}

/// Lets go of the hub, and so closes its socket, before anybody is told that it has finished.
private final class Holder: @unchecked Sendable {
  private var hub: WorkerHub?
  init(_ hub: WorkerHub) { self.hub = hub }

  func run(_ failed: (ZeroMQError) -> Void) {
    do throws(ZeroMQError) { try hub?.run() } catch { failed(error) }
    hub?.failAll()
    hub = nil
  }
}
