/// Some of a machine's CPUs, as Linux numbers and writes them: `0-3,6`.
struct CPUList: Equatable {
  /// Ascending, at least one.
  let numbers: [Int]

  /// One more than the greatest number that a kernel can be built for.
  static let limit = 8192

  /// - Parameter text: numbers and ranges with commas between them.
  init(_ text: String) throws(CPUListError) {
    guard !text.isEmpty else { throw .empty }
    var found: Set<Int> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
      let (first, last) = (try Self.number(ends[0], in: part), try Self.number(ends[ends.count - 1], in: part))
      guard first <= last else { throw .reversed(String(part)) }
      for number in first...last {
        guard found.insert(number).inserted else { throw .repeated(number) }
      }
    }
    numbers = found.sorted()
  }

  /// - Parameter numbers: ascending, at least one.
  init(_ numbers: [Int]) {
    precondition(!numbers.isEmpty)
    self.numbers = numbers
  }

  private static func number(_ digits: Substring, in part: Substring) throws(CPUListError) -> Int {
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      throw .noNumber(String(part))
    }
    guard let number = Int(digits), number < limit else { throw .beyond(String(digits)) }
    return number
  }

  /// - Throws: `missing` unless all of these are among `own`.
  func check(among own: CPUList) throws(CPUListError) {
    let missing = numbers.filter { !own.numbers.contains($0) }
    if !missing.isEmpty { throw .missing(CPUList(missing), own: own) }
  }
}

extension CPUList: CustomStringConvertible {
  /// As `/proc/self/status` has it: neighbours as ranges.
  var description: String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}

/// Why a process cannot compute on some CPUs.
enum CPUListError: Error, Equatable {
  case empty
  case noNumber(String)
  case reversed(String)
  case repeated(Int)
  case beyond(String)
  /// The machine has no such CPUs, or this process may not use them.
  case missing(CPUList, own: CPUList)
  case unsupported
  /// The system refuses.
  case system(call: String, errno: Int32)
}
