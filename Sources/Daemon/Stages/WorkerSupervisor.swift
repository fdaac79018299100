import CSystem
import Foundation
import Synchronization

/// The worker processes of this machine: starts them, starts those anew that die, and ends them.
///
/// Each has a pipe from here as its standard input. The pipe ends with this process, however it ends, and the worker with
/// the pipe.
public final class WorkerSupervisor: Sendable {
  private let executable: String
  private let arguments: @Sendable (_ stage: Pipeline.Stage, _ name: String) -> [String]
  private let counts: [Pipeline.Stage: Int]
  private let log: @Sendable (String) -> Void
  private let state = Mutex<State>(State())
  private let threads = DispatchGroup()

  private struct State {
    var isStopping = false
    /// Running ones by name.
    var children: [String: (process: pid_t, pipe: Int32)] = [:]
    /// Names that took work, so that their end is no failure to start.
    var wereReady: Set<String> = []
  }

  /// - Parameters:
  ///   - executable: the program's path.
  ///   - counts: how many workers of each stage.
  ///   - arguments: the program's, for a worker of a stage and a name.
  public init(
    executable: String, counts: [Pipeline.Stage: Int], log: @escaping @Sendable (String) -> Void = { _ in },
    arguments: @escaping @Sendable (_ stage: Pipeline.Stage, _ name: String) -> [String]
  ) {
    (self.executable, self.counts, self.log, self.arguments) = (executable, counts, log, arguments)
  }

  /// The processes of running workers.
  public var processes: [pid_t] { state.withLock { $0.children.values.map(\.process) } }

  func start(_ pool: WorkerPool) {
    pool.withState {
      $0.isReady = { [self] name in state.withLock { _ = $0.wereReady.insert(name) } }
      $0.isLost = { [self] name in kill(name) }
    }
    for (stage, count) in counts {
      for place in 0..<count {
        threads.enter()
        let thread = Thread { [self] in
          keep(stage, place, pool)
          threads.leave()
        }
        thread.name = "pandion-keep-\(stage.rawValue)"
        thread.start()
      }
    }
  }

  /// Ends all workers; those that do not go by themselves are killed.
  func stop() {
    state.withLock { state in
      state.isStopping = true
      for child in state.children.values { shutdown(child.pipe, Int32(SHUT_RDWR)) }
    }
    if threads.wait(timeout: .now() + 3) == .timedOut {
      for name in state.withLock({ $0.children.keys.map { $0 } }) { kill(name) }
      threads.wait()
    }
  }

  /// Keeps one place filled. Between starts that came to nothing it waits longer and longer.
  private func keep(_ stage: Pipeline.Stage, _ place: Int, _ pool: WorkerPool) {
    var (failures, generation) = (0, 0)
    while !state.withLock({ $0.isStopping }) {
      // Nobody else guesses it, who could have this one killed by what is said under its name.
      let once = String(UInt64.random(in: 0...UInt64.max), radix: 16)
      let name = "\(stage.rawValue)-\(place)-\(getpid())-\(generation)-\(once)"
      generation += 1
      pool.withState { _ = $0.supervisedNames.insert(name) }
      let status = run(stage, name)
      pool.withState { _ = $0.supervisedNames.remove(name) }
      pool.died(name: name)
      let (isStopping, wasReady) = state.withLock { ($0.isStopping, $0.wereReady.remove(name) != nil) }
      if isStopping { return }
      failures = wasReady ? 0 : failures + 1
      log("worker '\(name)' has ended (\(status)); starting another")
      // 50 ms, and up to 6.4 s.
      let wait = 50 << min(failures, 7)
      for _ in 0..<wait / 50 where !state.withLock({ $0.isStopping }) { usleep(50_000) }
    }
  }

  /// Runs a worker to its end.
  ///
  /// - Returns: how it ended, for people.
  private func run(_ stage: Pipeline.Stage, _ name: String) -> String {
    let process: pid_t
    do throws(DaemonError) {
      process = try spawn(arguments(stage, name), name)
    } catch {
      return "\(error)"
    }
    // Until it is reaped its number is nobody else's, and nobody kills it by that afterwards.
    var (information, status) = (siginfo_t(), Int32(0))
    while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
    state.withLock { state in
      while waitpid(process, &status, 0) < 0 && errno == EINTR {}
      if let pipe = state.children.removeValue(forKey: name)?.pipe { close(pipe) }
    }
    return status & 0x7F == 0 ? "exit \(status >> 8 & 0xFF)" : "signal \(status & 0x7F)"
  }

  private func spawn(_ arguments: [String], _ name: String) throws(DaemonError) -> pid_t {
    // No other child may hold an end, or the pipe would outlive this process.
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &ends) == 0 else {
      throw .system(call: "socketpair", errno: errno)
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
    // Standard output is for results, of which a worker has none.
    posix_spawn_file_actions_adddup2(&actions, 2, 1)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // A group of its own: Ctrl-C ends the daemon, which ends its workers when it needs them no more.
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    var words = ([executable] + arguments).map { strdup($0) } + [nil]
    var environment = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
    defer { for word in words + environment { free(word) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, executable, &actions, &attributes, &words, &environment)
    close(ends[0])
    guard code == 0 else {
      close(ends[1])
      throw .system(call: "posix_spawn \(executable)", errno: code)
    }
    state.withLock { state in
      state.children[name] = (process, ends[1])
      if state.isStopping { shutdown(ends[1], Int32(SHUT_RDWR)) }
    }
    return process
  }

  private func kill(_ name: String) {
    state.withLock { state in
      if let child = state.children[name] { _ = Foundation.kill(child.process, SIGKILL) }
    }
  }
}
