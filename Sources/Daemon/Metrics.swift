import Wire

/// What `stats` tells: counted by the front end's thread alone.
struct Metrics {
  private var requests: [String: Int] = [:]
  private var errors: [String: Int] = [:]
  private var latency: [String: Latency] = [:]
  var repeated = 0
  /// Replies whose client had gone or did not read.
  var lost = 0
  private let started = ContinuousClock.now

  private struct Latency {
    var count = 0
    var sum = 0.0
    var most = 0.0
  }

  mutating func count(request op: String) { requests[op, default: 0] += 1 }
  mutating func count(error code: WireError.Code) { errors[code.rawValue, default: 0] += 1 }

  /// - Parameter duration: from the arrival to the reply.
  mutating func took(_ op: String, _ duration: Duration) {
    let milliseconds = duration.seconds * 1000
    latency[op, default: Latency()].count += 1
    latency[op, default: Latency()].sum += milliseconds
    latency[op, default: Latency()].most = max(milliseconds, latency[op]?.most ?? 0)
  }

  var fields: [(String, JSONValue?)] {
    let latencies = latency.sorted { $0.key < $1.key }.map { op, value -> (String, JSONValue?) in
      let mean = (value.sum / Double(value.count) * 1000).rounded() / 1000
      return (
        op,
        JSONValue(entries: [
          ("count", .integer(value.count)), ("mean_ms", .number(mean)),
          ("max_ms", .number((value.most * 1000).rounded() / 1000)),
        ])
      )
    }
    return [
      ("uptime_s", .integer(Int((ContinuousClock.now - started).seconds))), ("requests", Self.json(requests)),
      ("errors", Self.json(errors)),
      ("repeated", .integer(repeated)), ("lost", .integer(lost)),
      ("latency", JSONValue(entries: latencies)),
    ]
  }

  private static func json(_ counts: [String: Int]) -> JSONValue {
    JSONValue(entries: counts.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) })
  }
}
