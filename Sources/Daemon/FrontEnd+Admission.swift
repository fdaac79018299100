import Wire
import ZeroMQ

extension FrontEnd {
  enum Admission {
    /// It waits for a stage.
    case accepted
    case answered(Reply)
    /// The answer that the same request got before.
    case repeated([[UInt8]])
  }

  /// Reads a message and decides what becomes of it.
  func admit(_ incoming: Incoming, isControl: Bool) -> Admission {
    let request: Request
    do throws(RefusedRequest) {
      request = try Request(header: incoming.header, blobs: incoming.sentBlobs, limits: pipeline.limits)
    } catch {
      metrics.count(request: error.op.map { Request.Operation.names.contains($0) ? $0 : "unknown" } ?? "unreadable")
      return .answered(Reply(error))
    }
    metrics.count(request: request.operation.name)
    if let error = incoming.excess(pipeline.limits) { return .answered(Reply(to: request, error)) }
    guard let stage = pipeline.first(request) else { return .answered(answerNow(request, isControl: isControl)) }
    if isControl {
      let message = "op '\(request.operation.name)' is work: it goes to the data endpoint, not to control"
      return .answered(Reply(to: request, WireError(.badRequest, message)))
    }

    let key = request.id.map { AnswerCache.Key(client: incoming.client, id: ExactText($0)) }
    if let key {
      if let frames = answers[key] {
        metrics.repeated += 1
        return .repeated(frames)
      }
      if let ticket = running[key], var pending = active[ticket] {
        metrics.repeated += 1
        guard pending.envelopes.count < 16 else {
          let message = "the request is under way, and 16 replies will go to those who sent it"
          return .answered(
            Reply(to: request, WireError(.busy, message, retryAfterMilliseconds: retryMilliseconds)))
        }
        pending.envelopes.append(incoming.envelope)
        active[ticket] = pending
        return .accepted
      }
    }
    if isDraining {
      return .answered(
        Reply(to: request, WireError(.shuttingDown, "the daemon is stopping", retryAfterMilliseconds: 1000)))
    }
    let bytes = incoming.bytes
    if let busy = refusal(of: incoming.client, bytes: bytes) { return .answered(Reply(to: request, busy)) }
    return accept(request, incoming, bytes, key, stage)
  }

  private func accept(
    _ request: Request, _ incoming: Incoming, _ bytes: Int, _ key: AnswerCache.Key?, _ stage: Pipeline.Stage
  ) -> Admission {
    let job = Job(request, blobs: incoming.blobs)
    let ticket = jobs.add(job)
    active[ticket] = Pending(job: job, bytes: bytes, key: key, envelopes: [incoming.envelope], client: incoming.client)
    charge(incoming.client, bytes: bytes)
    if let key { running[key] = ticket }
    do throws(ZeroMQError) {
      guard let queue = queue(stage, job) else { return .accepted }
      try queue.add(ticket, priority: request.priority, client: incoming.client, deadline: job.deadline)
      return .accepted
    } catch {
      active[ticket] = nil
      jobs.remove(ticket)
      release(incoming.client, bytes: bytes)
      if let key { running[key] = nil }
      return .answered(Reply(to: request, WireError(.internal, "stage '\(stage.rawValue)' takes no work: \(error)")))
    }
  }

  /// Answers what needs no stage.
  private func answerNow(_ request: Request, isControl: Bool) -> Reply {
    switch request.operation {
    case .health:
      return Reply(to: request, [("status", .string(isDraining ? "draining" : "ok"))])
    case .stats:
      let usage = pipeline.pictures.usage
      let queues = lanes.map { ($0.lane.rawValue, JSONValue?.some(.integer($0.count))) }
      let counts: [(String, JSONValue?)] = [
        ("active", .integer(active.count)), ("active_bytes", .integer(activeBytes)),
        ("clients", .integer(clients.count)), ("unread_bytes", .integer(unread.bytes)),
        ("cut", .integer(self.incoming.count)), ("lanes", JSONValue(entries: queues)),
        ("pictures", JSONValue(entries: [("count", .integer(usage.count)), ("bytes", .integer(usage.bytes))])),
        ("prefix", prefixStats), ("decoder", pipeline.labeler.map { JSONValue(entries: $0.stats) }),
        ("workers", workers?.stats), ("cameras", cameras?.stats),
      ]
      return Reply(to: request, metrics.fields + counts)
    case .cancel(let target) where isControl:
      let target = ExactText(target)
      let found = active.filter { $0.value.job.request.id.map { ExactText($0) } == target }
      for (ticket, pending) in found {
        pending.job.cancel()
        // What nobody has begun is over now.
        if let lane = lanes.first(where: { $0.remove(ticket) }) { refuse(ticket, beforeStage: lane.lane.stage) }
      }
      return Reply(to: request, [("cancelled", .integer(found.count))])
    case .drain where isControl:
      drain()
      return Reply(to: request, [("status", .string("draining")), ("active", .integer(active.count))])
    default: return pipeline.immediate(request)
    }
  }

  /// What the language model's work on whole pictures came to: 50 questions about one picture compute it once.
  private var prefixStats: JSONValue {
    let (held, bytes, counts) = pipeline.pictures.prefixes
    return JSONValue(entries: [
      ("computed", .integer(counts.computed)), ("reused", .integer(counts.reused)), ("held", .integer(held)),
      ("bytes", .integer(bytes)), ("evicted", .integer(counts.evicted)),
    ])
  }
}
