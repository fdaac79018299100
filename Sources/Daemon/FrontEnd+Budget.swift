import Wire

extension FrontEnd {
  /// What of the daemon's a client has in use.
  struct Usage {
    var count = 0
    var bytes = 0
  }

  /// Whether there is room for one more request; else what the client is told.
  func refusal(of client: [UInt8], bytes: Int) -> WireError? {
    let own = clients[client] ?? Usage()
    let message: String
    let requests = active.count - framesInWork
    if requests >= configuration.queue {
      message = "\(requests) requests wait already, of at most \(configuration.queue)"
    } else if activeBytes + bytes > configuration.queueBytes {
      message = "\(activeBytes) bytes wait already, of at most \(configuration.queueBytes)"
    } else if own.count >= configuration.queuePerClient {
      message = "\(own.count) requests of this client wait already, of at most \(configuration.queuePerClient)"
    } else if own.count > 0, own.bytes + bytes > configuration.queueBytesPerClient {
      message = "\(own.bytes) bytes of this client wait already, of at most \(configuration.queueBytesPerClient)"
    } else if let unread = unread.refusal(of: client) {
      message = unread
    } else {
      return nil
    }
    return WireError(.busy, message, retryAfterMilliseconds: retryMilliseconds)
  }

  /// When it is worth asking again.
  var retryMilliseconds: Int { max(1, active.count) * configuration.retryMillisecondsPerRequest }

  func charge(_ client: [UInt8], bytes: Int) {
    activeBytes += bytes
    clients[client, default: Usage()].count += 1
    clients[client, default: Usage()].bytes += bytes
  }

  func release(_ client: [UInt8], bytes: Int) {
    activeBytes -= bytes
    guard var usage = clients[client] else { return }
    usage.count -= 1
    usage.bytes -= bytes
    // Nothing is kept for a client that waits for nothing, however many come and go.
    clients[client] = usage.count > 0 ? usage : nil
  }
}
