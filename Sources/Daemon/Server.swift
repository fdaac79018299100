import Foundation
import Synchronization
import Wire
import ZeroMQ

/// The daemon: sockets, stages and their threads, from `start` until it has been drained.
public final class Server: Sendable {
  private let configuration: Configuration
  let pipeline: Pipeline
  private let workers: WorkerPool?
  private let supervisor: WorkerSupervisor?
  let log: @Sendable (String) -> Void
  private let context: Context
  private let finished = DispatchSemaphore(value: 0)
  private let state = Mutex<State>(State())

  private struct State {
    var endpoints: [String] = []
    var controlEndpoints: [String] = []
    var cameraEndpoints: [String] = []
    var resultEndpoints: [String] = []
    var failure: DaemonError?
  }

  /// - Parameters:
  ///   - workers: those who do what the pipeline leaves to them.
  ///   - supervisor: of those who run on this machine.
  ///   - log: gets one line for each thing worth telling; called from several threads.
  public init(
    _ configuration: Configuration, _ pipeline: Pipeline, workers: WorkerPool? = nil,
    supervisor: WorkerSupervisor? = nil, log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(DaemonError) {
    (self.configuration, self.pipeline, self.log) = (configuration, pipeline, log)
    (self.workers, self.supervisor) = (workers, supervisor)
    context = try sockets { () throws(ZeroMQError) in try Context() }
  }

  /// Where requests are taken, with the ports that they became.
  public var endpoints: [String] { state.withLock { $0.endpoints } }
  public var controlEndpoints: [String] { state.withLock { $0.controlEndpoints } }

  /// Where frames of cameras come in and their results leave.
  public var cameraEndpoints: [String] { state.withLock { $0.cameraEndpoints } }
  public var resultEndpoints: [String] { state.withLock { $0.resultEndpoints } }

  /// Listens and starts the threads. Once it returns, requests are answered.
  public func start() throws(DaemonError) {
    try EndpointSafety.check(configuration, workers: workers?.endpoints ?? [])
    let listened =
      configuration.endpoints + configuration.controlEndpoints + (workers?.endpoints ?? [])
      + (configuration.cameras.map { $0.endpoints + $0.results } ?? [])
    if !configuration.insecure { try RuntimeFolder.secure(endpoints: listened) }
    try RuntimeFolder.checkFree(endpoints: listened)
    // The authenticator answers before anybody can connect.
    let (authenticator, secretKey) = try authenticate()
    let front: FrontEnd
    let cameras = configuration.cameras.map { Cameras($0, limits: pipeline.limits, log: log) }
    do throws(ZeroMQError) {
      try workers?.start(context, secretKey: secretKey)
      try cameras?.start(context, secretKey: secretKey, linger: configuration.linger)
      front = try FrontEnd(
        configuration, pipeline, context, secretKey: secretKey, workers: workers, cameras: cameras, log: log)
    } catch {
      cameras?.stop()
      workers?.stop()
      authenticator?.stop()
      throw .socket(error)
    }
    if let workers {
      let guardian = front.incoming
      workers.withState { $0.incoming = guardian }
      supervisor?.start(workers)
    }
    let seats = Lane.allCases.flatMap { lane in
      (0..<configuration.seats(lane)).map {
        StageWorker(lane, seat: $0, context, pipeline, front.jobs, log: log)
      }
    }
    cameras?.incoming = front.incoming
    state.withLock {
      ($0.endpoints, $0.controlEndpoints) = (front.dataEndpoints, front.controlEndpoints)
      ($0.cameraEndpoints, $0.resultEndpoints) = (cameras?.endpoints ?? [], cameras?.results ?? [])
    }
    let housekeeper = Housekeeper(front.incoming)
    let holder = Holder(front)
    let thread = Thread { [self] in
      holder.run { error in
        log("the front end failed: \(error)")
        state.withLock { $0.failure = .socket(error) }
      }
      cameras?.stop()
      for seat in seats { seat.join() }
      workers?.stop()
      supervisor?.stop()
      housekeeper.stop()
      authenticator?.stop()
      finished.signal()
    }
    thread.name = "pandion-front"
    thread.stackSize = 16 << 20
    thread.start()
  }

  private func authenticate() throws(DaemonError) -> (Authenticator?, secretKey: String?) {
    guard let keys = configuration.keys else { return (nil, nil) }
    let secretKey = try keys.serverKeys().secretKey
    let authenticator = try sockets { () throws(ZeroMQError) in
      try Authenticator(context) {
        keys.isAuthorised($0)
      } isWorker: {
        keys.isAuthorised($0, as: .worker)
      }
    }
    return (authenticator, secretKey)
  }

  /// Accepts nothing more; returns at once. May be called from any thread, more than once.
  public func drain() {
    do {
      let socket = try Socket(context, .push, linger: 1000)
      try socket.connect(FrontEnd.commandEndpoint)
      try socket.send([[1]], timeout: 1000)
    } catch {
      log("cannot stop: \(error)")
    }
  }

  /// Waits until everything accepted has been answered after `drain`.
  public func wait() throws(DaemonError) {
    finished.wait()
    finished.signal()
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// Serves until SIGTERM or SIGINT, then finishes what was accepted.
  ///
  /// - Parameters:
  ///   - signals: kept since earlier, if they are.
  ///   - reload: what SIGHUP asks for: the models to go on with, which are tried first. Where it throws, or they fail the trial,
  ///     the old ones go on. Without it SIGHUP does nothing.
  ///   - ready: called when requests are answered, and a signal would end the daemon properly.
  public func runUntilSignalled(
    _ signals: TerminationSignals? = nil, reload: Reload? = nil, ready: () -> Void
  ) throws(DaemonError) {
    let signals = if let signals { signals } else { try TerminationSignals() }
    signals.keepAll()
    defer { signals.restore() }
    try start()
    var hangup: (@Sendable () -> Void)?
    if let reload { hangup = { [self] in takeModels(from: reload) } }
    signals.handle({ [self] in drain() }, hangup: hangup)
    ready()
    try wait()
  }
}

/// Lets go of the front end, and so closes its sockets, before anybody is told that it has finished.
private final class Holder: @unchecked Sendable {
  private var front: FrontEnd?
  init(_ front: FrontEnd) { self.front = front }

  func run(_ failed: (ZeroMQError) -> Void) {
    do throws(ZeroMQError) { try front?.run() } catch { failed(error) }
    front = nil
  }
}
