import CSystem
import Foundation

extension CPUList {
  /// Those that the calling thread may run on, and with it the process, where nobody set its threads apart.
  static func own() throws(CPUListError) -> CPUList {
    var words = [UInt](repeating: 0, count: limit / UInt.bitWidth)
    let bytes = thread_cpus(0, &words, words.count * MemoryLayout<UInt>.size)
    guard bytes >= 0 else { throw .failed("sched_getaffinity") }
    return CPUList((0..<bytes * 8).filter { words[$0 / UInt.bitWidth] >> ($0 % UInt.bitWidth) & 1 == 1 })
  }

  /// Makes the process run on these alone: the threads that it has, since OpenBLAS makes its own before `main`, and those to come,
  /// which inherit it.
  func bindProcess() throws(CPUListError) {
    try check(among: Self.own())
    var words = [UInt](repeating: 0, count: Self.limit / UInt.bitWidth)
    for number in numbers { words[number / UInt.bitWidth] |= 1 << (number % UInt.bitWidth) }
    // Until no thread is new: one that was not bound yet may have made another meanwhile.
    var bound: Set<Int32> = []
    while true {
      let new = Self.threads().subtracting(bound)
      if new.isEmpty { return }
      for thread in new {
        // One that has ended meanwhile needs nothing.
        guard set_thread_cpus(thread, words, words.count * MemoryLayout<UInt>.size) >= 0 || errno == ESRCH else {
          throw .failed("sched_setaffinity")
        }
      }
      bound.formUnion(new)
    }
  }

  /// The process's threads, at least the caller.
  private static func threads() -> Set<Int32> {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return names.isEmpty ? [0] : Set(names.compactMap { Int32($0) })
  }
}

extension CPUListError {
  /// What `errno` says of a call.
  fileprivate static func failed(_ call: String) -> CPUListError {
    errno == ENOSYS ? .unsupported : .system(call: call, errno: errno)
  }
}

extension CPUListError: CustomStringConvertible {
  var description: String {
    switch self {
    case .empty: "it names no CPU"
    case .noNumber(let part): "'\(part)' is no number and no range of them, such as 0-3"
    case .reversed(let part): "the range '\(part)' ends before it begins"
    case .repeated(let number): "CPU \(number) comes twice"
    case .beyond(let digits): "CPU \(digits) is beyond \(CPUList.limit - 1), the last that Linux can have"
    case .missing(let missing, let own): "this process has no CPU \(missing), it may run on \(own)"
    case .unsupported: "this system cannot tie a process to CPUs"
    case .system(let call, let number): "\(call) failed: \(String(cString: strerror(number)))"
    }
  }
}
