import Wire

/// Workers that are given up, and what becomes of their jobs; jobs that nobody will do.
extension WorkerHub {
  /// Gives a worker up; its jobs go to others, unless they are to blame once too often.
  ///
  /// - Parameter isMove: whether that counts among the times that its jobs may be handed out.
  func lose(_ identity: [UInt8], blame: Bool, isMove: Bool = true) {
    guard let worker = workers.removeValue(forKey: identity) else { return }
    let name = worker.ready.name
    if blame {
      pool.withState { $0.counters.lost += 1 }
      pool.log("worker '\(name)' of stage '\(worker.ready.stage.rawValue)' is dead")
      // Whoever has just come in under the name of one that was there may be another: that one need not be killed.
      if worker.tookOver.map({ .now - $0 > .seconds(10) }) ?? true { pool.withState { $0.isLost }(name) }
    }
    for ticket in worker.jobs.values.joined() {
      if blame { jobs[ticket]?.ended.insert(name) }
      if isMove { jobs[ticket]?.moves += 1 }
      jobs[ticket]?.worker = nil
      putBack(ticket)
    }
  }

  /// A job whose worker was given up waits for another, or ends.
  private func putBack(_ ticket: UInt64) {
    guard let job = jobs[ticket] else { return }
    if job.isAbandoned { return forget(ticket) }
    if job.ended.count >= WorkerPool.lives {
      let hash = job.call.contentHash
      pool.withState {
        $0.quarantine.add(hash)
        $0.counters.poisoned += 1
      }
      let names = job.ended.sorted().joined(separator: "', '")
      pool.log("a job of lane '\(job.call.lane.rawValue)' has ended '\(names)': \(hash) is not tried again")
      return end(ticket, WorkerPool.poison(job.call))
    }
    if job.moves >= WorkerPool.mostMoves {
      return end(ticket, WireError(.internal, "it was handed to workers \(job.moves) times, and none has finished it"))
    }
    pool.withState { $0.counters.retried += 1 }
    enqueue(ticket)
  }

  func buryTheDead() {
    let longest = pool.timing.silence
    for (identity, worker) in workers {
      let isStalled = !worker.isIdle && .now - worker.progressed > pool.timing.stall
      // Its heartbeats wait behind what comes slowly, and it waits for the answers.
      if workers[identity]?.heard.hearsPart(after: longest / 3) == true { send(.alive, to: identity) }
      if isStalled || workers[identity]?.heard.silence ?? .zero > longest { lose(identity, blame: true) }
    }
  }

  /// It was this thread that was held up, or the whole machine: nothing could be heard, and nothing may have come in yet.
  func excuseAll() {
    for identity in workers.keys {
      workers[identity]?.heard.excuse()
      workers[identity]?.progressed = .now
    }
  }

  /// What is cancelled, or too late to begin with, is not handed out.
  func dropTheUnwanted() {
    for ticket in waiting.values.joined() {
      guard let errand = jobs[ticket]?.call.errand else { continue }
      do throws(WireError) { try errand.checkWanted() } catch { end(ticket, error) }
    }
  }

  /// Jobs of lanes that no worker takes wait for a while.
  func refuseTheOrphaned() {
    for lane in Lane.allCases where pool.stages.contains(lane.stage) {
      guard !workers.values.contains(where: { $0.takes(lane) }) else {
        orphaned[lane] = nil
        continue
      }
      let since = orphaned[lane] ?? .now
      orphaned[lane] = since
      guard .now - since > pool.timing.unavailable else { continue }
      for ticket in waiting[lane] ?? [] { end(ticket, pool.unavailable(lane)) }
    }
  }

  private func end(_ ticket: UInt64, _ error: WireError) {
    jobs[ticket]?.call.finish(.failure(error))
    forget(ticket)
  }
}
