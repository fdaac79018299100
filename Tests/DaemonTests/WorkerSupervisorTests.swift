import Foundation
import Synchronization
import Testing

@testable import Daemon

@Suite struct WorkerSupervisorTests {
  /// The names of the workers that were started.
  private func supervise(_ program: String, _ count: Int, seconds: Double) -> (names: [String], stopping: Duration) {
    let names = Names()
    let supervisor = WorkerSupervisor(executable: program, counts: [.segment: count]) { _, name in
      names.list.withLock { $0.append(name) }
      return []
    }
    supervisor.start(WorkerPool([.segment], endpoints: []))
    usleep(UInt32(seconds * 1_000_000))
    let start = ContinuousClock.now
    supervisor.stop()
    #expect(supervisor.processes.isEmpty)
    return (names.list.withLock { $0 }, .now - start)
  }

  private final class Names: Sendable { let list = Mutex<[String]>([]) }

  @Test func whatComesToNothingIsTriedLessAndLess() {
    let (names, _) = supervise("/bin/false", 1, seconds: 1.2)
    // After 0, 100, 300, 700, 1500 ms.
    #expect((2...4).contains(names.count) && Set(names).count == names.count, "\(names)")
    let others = supervise("/no/such/program", 1, seconds: 0.5).names
    #expect((1...4).contains(others.count))
    // Whoever knows the place and the process does not know the name.
    #expect(Set(names).isDisjoint(with: others), "\(names) \(others)")
  }

  @Test func workersEndWithTheirInput() {
    // As a worker does, it ends when its standard input does.
    let (names, stopping) = supervise("/bin/cat", 3, seconds: 0.3)
    #expect(names.count == 3 && stopping < .seconds(2), "\(names) \(stopping)")
  }

  @Test func oneThatDoesNotGoIsKilled() {
    // It reads nothing.
    let supervisor = WorkerSupervisor(executable: "/bin/sleep", counts: [.segment: 1]) { _, _ in ["60"] }
    supervisor.start(WorkerPool([.segment], endpoints: []))
    for _ in 0..<200 where supervisor.processes.isEmpty { usleep(10_000) }
    #expect(supervisor.processes.count == 1)
    let start = ContinuousClock.now
    supervisor.stop()
    #expect(supervisor.processes.isEmpty && .now - start < .seconds(8))
  }
}
