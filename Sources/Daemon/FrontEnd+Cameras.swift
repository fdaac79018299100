import Wire
import ZeroMQ

extension FrontEnd {
  /// Begins with frames of cameras whose turn has come. Their number is bounded by itself, so that clients who fill the queue do
  /// not keep cameras out, nor cameras them.
  func startFrames() throws(ZeroMQError) {
    while let frame = cameras?.next() {
      metrics.count(request: frame.request.operation.name)
      let job = Job(frame.request, blobs: frame.blobs, arrived: frame.arrived, isFrame: true)
      guard let stage = pipeline.first(frame.request), let queue = queue(stage, job) else {
        let error = WireError(.internal, "op '\(frame.request.operation.name)' has no stage")
        answer(frame.name, Reply(to: frame.request, error))
        continue
      }
      let ticket = jobs.add(job)
      active[ticket] = Pending(
        job: job, bytes: 0, key: nil, envelopes: [], client: Cameras.client, frame: frame.name)
      framesInWork += 1
      try queue.add(ticket, priority: frame.request.priority, client: Cameras.client)
    }
  }

  /// Publishes what became of a frame.
  func answer(_ frame: FrameSlots.Name, _ reply: Reply) {
    // Of each stream the last picture stays, for those who click into what they were told of.
    if let previous = cameras?.answer(frame, reply) { pipeline.pictures.letGo(previous) }
  }
}
