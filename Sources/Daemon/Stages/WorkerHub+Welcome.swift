/// Who may be a worker, and who is told to come in anew.
extension WorkerHub {
  static let mostWorkers = 256
  /// So many unknown ones are remembered for having been told `again`.
  private static let mostAsked = 1024

  func welcome(_ ready: WorkerReady, _ identity: [UInt8]) {
    if let reason = objection(to: ready) {
      lose(identity, blame: false)
      pool.log("worker '\(ready.name)' is refused: \(reason)")
      send(.refused(reason), to: identity)
      return
    }
    if awaitsSupervised(ready) { return sayAgain(identity) }
    let wasAsked = noteAnswer(identity)
    var tookOver: ContinuousClock.Instant?
    // The same one again, over a new connection perhaps: it lives, so that its jobs are not to blame for anything.
    for (old, worker) in workers where old == identity || worker.ready.name == ready.name {
      if old != identity { tookOver = .now }
      lose(old, blame: false, isMove: old != identity || !wasAsked)
    }
    noteModel(ready)
    workers[identity] = Worker(ready: ready, heard: LastHeard(over: socket.lastConnection), tookOver: tookOver)
    pool.withState { $0.models[ready.stage] = ready.model }
    pool.withState { $0.isReady }(ready.name)
    pool.log("worker '\(ready.name)' serves stage '\(ready.stage.rawValue)'")
    send(.alive, to: identity)
  }

  private func objection(to ready: WorkerReady) -> String? {
    let (stage, model) = (ready.stage, ready.model)
    guard pool.stages.contains(stage) else { return "stage '\(stage.rawValue)' runs in the daemon itself" }
    guard workers.values.count(where: { $0.ready.name != ready.name }) < Self.mostWorkers else {
      return "there are too many workers"
    }
    guard model.role == stage.role else {
      return "its model is a \(model.role), and stage '\(stage.rawValue)' needs a \(stage.role)"
    }
    guard let reference = references[stage.role], reference.differs(from: model) else { return nil }
    // Whose it is, is not told: nobody is to come in under the name of one of the daemon's own.
    return
      "its model is \(model.name), and the daemon's \(stage.role) is another, \(reference.name); other models take a restart of the daemon"
  }

  /// The daemon's own workers say which model it is; others wait until one of them has.
  private func awaitsSupervised(_ ready: WorkerReady) -> Bool {
    let role = ready.stage.role
    guard references[role] == nil, pool.supervised.contains(where: { $0.role == role }) else { return false }
    return pool.withState { !$0.supervisedNames.contains(ready.name) }
  }

  private func noteModel(_ ready: WorkerReady) {
    let known = references[ready.stage.role] ?? ready.model
    // The digests of large files are not known at once.
    references[ready.stage.role] = ready.model.files.count > known.files.count ? ready.model : known
  }

  /// Tells one that is not known, or not any more, to come in. It may say much before it hears that, and it is told once a
  /// second.
  func sayAgain(_ identity: [UInt8]) {
    let before = asked[identity]
    if let before, .now - before.last < .seconds(1) { return }
    if asked.count >= Self.mostAsked { asked = [:] }
    asked[identity] = (count: min(3, (before?.count ?? 0) + 1), last: .now)
    send(.again, to: identity)
  }

  /// - Returns: whether it comes in because it was told to.
  private func noteAnswer(_ identity: [UInt8]) -> Bool {
    guard let count = asked[identity]?.count else { return false }
    if count > 1 { asked[identity]?.count = count - 1 } else { asked[identity] = nil }
    return true
  }
}

extension Pipeline.Stage {
  /// What its model is called. Stages "extract" and "language" share one.
  var role: String { self == .segment ? "segmenter" : "labeler" }
}
