extension WorkerHub {
  /// Lets a job wait: before those of lower priority, and before those that came later.
  func enqueue(_ ticket: UInt64) {
    guard let call = jobs[ticket]?.call else { return }
    let priority = call.errand.priority
    let place = waiting[call.lane, default: []].firstIndex { other in
      let theirs = jobs[other]?.call.errand.priority ?? 0
      return theirs < priority || theirs == priority && other > ticket
    }
    waiting[call.lane, default: []].insert(ticket, at: place ?? waiting[call.lane]?.count ?? 0)
  }

  /// Gives what waits to those who have room.
  func dispatch() {
    // What has ended a worker already needs an idle one, and would never get it if others went on taking the seats: they get
    // only workers that it does not wait for.
    var free: [Pipeline.Stage: Set<String>] = [:]
    for isSuspect in [true, false] {
      for (lane, tickets) in waiting {
        for ticket in tickets {
          guard let job = jobs[ticket], job.isSuspect == isSuspect else { continue }
          guard let identity = choose(lane, job, among: free[lane.stage]) else {
            if isSuspect {
              let avoided = avoided(by: job, lane)
              free[lane.stage] = free[lane.stage]?.intersection(avoided) ?? avoided
            }
            break
          }
          give(ticket, job, lane, to: identity)
        }
      }
    }
  }

  private func give(_ ticket: UInt64, _ job: Job, _ lane: Lane, to identity: [UInt8]) {
    waiting[lane]?.removeAll { $0 == ticket }
    workers[identity]?.jobs[lane, default: []].insert(ticket)
    workers[identity]?.progressed = .now
    jobs[ticket]?.worker = identity
    let isHeld = workers[identity]?.handles.contains(job.call.attachment.handle) ?? false
    hand(job.call, ticket, to: identity, attached: !isHeld)
  }

  /// The names of workers that a job does not go to: those that it has ended already, where there are others.
  private func avoided(by job: Job, _ lane: Lane) -> Set<String> {
    let hasOthers = workers.values.contains { $0.takes(lane) && !job.ended.contains($0.ready.name) }
    return hasOthers ? job.ended : []
  }

  /// Who is to do a job: one that holds its picture, else one that has least to do.
  ///
  /// - Parameter names: of those who may; nil for all.
  private func choose(_ lane: Lane, _ job: Job, among names: Set<String>?) -> [UInt8]? {
    let avoided = avoided(by: job, lane)
    var best: (identity: [UInt8], rank: (Int, Int))?
    for (identity, worker) in workers {
      guard worker.takes(lane), worker.jobs[lane]?.count ?? 0 < worker.ready.credit[lane] ?? 0,
        !avoided.contains(worker.ready.name), names?.contains(worker.ready.name) ?? true
      else { continue }
      // What has ended a worker already is tried alone, so that nothing else is blamed for it.
      if job.isSuspect, !worker.isIdle { continue }
      if worker.jobs.values.joined().contains(where: { jobs[$0]?.isSuspect ?? false }) { continue }
      let load = worker.jobs.values.reduce(0) { $0 + $1.count }
      let rank = (worker.handles.contains(job.call.attachment.handle) ? 0 : 1, load)
      if best.map({ rank < $0.rank }) ?? true { best = (identity, rank) }
    }
    return best?.identity
  }

  /// Sends a job to the worker that has it.
  ///
  /// - Parameter attached: whether what its handle names goes with it.
  func hand(_ call: StageCall, _ ticket: UInt64, to identity: [UInt8], attached: Bool) {
    let message = StageJobMessage(
      ticket: ticket, lane: call.lane, body: call.body, blobs: call.blobs,
      attachment: attached ? call.attachment : nil)
    jobs[ticket]?.wasAttached = attached
    workers[identity]?.noteHeld(call.attachment.handle)
    if send(.job(message), to: identity) {
      call.errand.begin()
    } else {
      // It takes nothing: its connection has gone or stands still. The job has not been there.
      lose(identity, blame: false)
    }
  }
}
