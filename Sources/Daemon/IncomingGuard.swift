import CSystem
import Foundation
import Synchronization

/// Bounds what comes in before it is a message.
///
/// The library hands a message over when all of its frames are there, and until then holds them, however many: one that
/// never ends would take all memory. So somebody looks at the TCP connections of this process: one that has sent more
/// than a message may have since its last message is cut, and so is the largest where they have too much in all, or where the
/// process has grown by too much (a frame of one byte takes some sixty). The client connects anew.
///
/// It also ends those on which a message has begun and does not go on. The kernel ends those whose other side is not there any more;
/// who is there and says nothing may stay.
final class IncomingGuard: Sendable {
  struct Limits: Sendable, Equatable {
    /// Of one message, in bytes on the wire.
    var message: Int
    /// Of all that are on their way.
    var all: Int
    /// How much the process may grow while one is on its way.
    var growth: Int
    /// What is too little to be cut for all that.
    var small = 8 << 20
    /// How long a message may stand still of which so much has come.
    var silence = Duration.seconds(15)
    var begun = 64 << 10
  }

  private let limits: Limits
  private let ports: Set<Int32>
  private let remotePorts: Set<Int32>
  private let log: @Sendable (String) -> Void
  /// How many messages came over each descriptor since the last look.
  private let arrived = Mutex<[Int32: Int]>([:])
  private let arrivals = Mutex<[Int32: Arrival]>([:])
  private let cut = Atomic<Int>(0)

  /// What is known of a connection since its last message.
  struct Arrival: Equatable {
    var remotePort: Int32 = 0
    /// What had come over it by then, in bytes, and the process's memory.
    var base: Int
    var memory: Int
    var bytes: Int
    /// When the last byte was seen to have come.
    var last = ContinuousClock.now
  }

  /// - Parameters:
  ///   - ports: where others connect to.
  ///   - remotePorts: those of others that are connected to.
  init(
    _ limits: Limits, ports: Set<Int32>, remotePorts: Set<Int32> = [], log: @escaping @Sendable (String) -> Void
  ) {
    (self.limits, self.ports, self.remotePorts, self.log) = (limits, ports, remotePorts, log)
  }

  /// The ports of those endpoints that have one.
  static func ports(_ endpoints: [String]) -> Set<Int32> {
    Set(endpoints.filter { $0.hasPrefix("tcp://") }.compactMap { $0.split(separator: ":").last.flatMap { Int32($0) } })
  }

  private func isWatched(_ descriptor: Int32) -> Bool {
    ports.contains(local_tcp_port(descriptor)) || remotePorts.contains(remote_tcp_port(descriptor))
  }

  /// How many connections were cut.
  var count: Int { cut.load(ordering: .relaxed) }

  /// A whole message came.
  func note(_ descriptor: Int32) { arrived.withLock { $0[descriptor, default: 0] += 1 } }

  /// Cuts what there is too much of. Called from time to time, by one thread.
  func look() {
    let messages = arrived.withLock { counts in
      defer { counts = [:] }
      return counts
    }
    let memory = Self.residentBytes
    let before = arrivals.withLock { $0 }
    var now: [Int32: Arrival] = [:]
    for (descriptor, remotePort, received) in received() {
      var arrival = Arrival(remotePort: remotePort, base: 0, memory: memory, bytes: 0)
      // Unless the descriptor has become another connection.
      if let known = before[descriptor], known.remotePort == remotePort, received >= known.base { arrival = known }
      if received != arrival.base + arrival.bytes { arrival.last = .now }
      if messages[descriptor] != nil { (arrival.base, arrival.memory) = (received, memory) }
      arrival.bytes = received - arrival.base
      now[descriptor] = arrival
      // The library closes it when it sees that.
      let standsStill = arrival.bytes > limits.begun && .now - arrival.last > limits.silence
      if standsStill, isWatched(descriptor) { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
    for (descriptor, reason) in Self.excessive(now, limits, memory: memory) {
      // It may have become another meanwhile.
      guard isWatched(descriptor) else { continue }
      shutdown(descriptor, Int32(SHUT_RDWR))
      // The library closes it when it comes to it; it is not cut again until then.
      if let bytes = now[descriptor]?.bytes { now[descriptor]?.base += bytes }
      cut.add(1, ordering: .relaxed)
      log("cut a connection: \(reason)")
    }
    arrivals.withLock { $0 = now }
  }

  /// The connections to be cut, with the reason.
  static func excessive(
    _ arrivals: [Int32: Arrival], _ limits: Limits, memory: Int
  ) -> [(descriptor: Int32, reason: String)] {
    var cut: [(Int32, String)] = []
    var all = arrivals.values.reduce(0) { $0 + $1.bytes }
    var mayGrow = true
    for (descriptor, arrival) in arrivals.sorted(by: { $0.value.bytes > $1.value.bytes }) {
      let growth = memory - arrival.memory
      if arrival.bytes > limits.message {
        cut.append((descriptor, "its message has \(arrival.bytes) bytes so far, of at most \(limits.message)"))
      } else if arrival.bytes > limits.small, all > limits.all {
        cut.append((descriptor, "\(all) bytes are on their way in all, of at most \(limits.all)"))
      } else if mayGrow, arrival.bytes > limits.small, growth > limits.growth {
        // The process may have grown for another reason: one at a time.
        mayGrow = false
        cut.append((descriptor, "while its \(arrival.bytes) bytes came, the process grew by \(growth)"))
      } else {
        continue
      }
      all -= arrival.bytes
    }
    return cut
  }

  /// What has come over each connection to our ports, in bytes.
  private func received() -> [(descriptor: Int32, remotePort: Int32, bytes: Int)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    return names.compactMap { name in
      guard let descriptor = Int32(name), isWatched(descriptor) else { return nil }
      // What listens, or is not connected yet, has nobody on the other side.
      let (remotePort, bytes) = (remote_tcp_port(descriptor), received_tcp_bytes(descriptor))
      return remotePort < 0 || bytes < 0 ? nil : (descriptor, remotePort, Int(bytes))
    }
  }

  /// The process's memory that is no file's.
  static var residentBytes: Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let pages = text.split(separator: " ").compactMap { Int($0) }
    return pages.count > 2 ? (pages[1] - pages[2]) * sysconf(Int32(_SC_PAGESIZE)) : 0
  }
}
