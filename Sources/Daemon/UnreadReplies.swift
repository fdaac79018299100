import ZeroMQ

/// The replies that the library holds because their clients do not read them, in bytes.
struct UnreadReplies {
  private let perClient: Int
  private let inAll: Int
  private let all = Ledger()
  private var clients: [[UInt8]: Ledger] = [:]
  private var sweepAt = 256

  init(perClient: Int, inAll: Int) { (self.perClient, self.inAll) = (perClient, inAll) }

  var bytes: Int { all.bytes }
  func bytes(of client: [UInt8]) -> Int { clients[client]?.bytes ?? 0 }

  /// What a reply to a client is sent with.
  mutating func ledger(of client: [UInt8]) -> Ledger {
    if let ledger = clients[client] { return ledger }
    if clients.count >= sweepAt {
      // Nothing is kept for those who have read everything or have gone.
      clients = clients.filter { $0.value.bytes > 0 }
      sweepAt = max(256, 2 * clients.count)
    }
    let ledger = Ledger(parent: all)
    clients[client] = ledger
    return ledger
  }

  /// Whether a reply may be added to what a client has not read yet. One always may, unless many clients do not read: those
  /// who have something unread leave a quarter of the whole to the others, and a quarter of their own to replies that took work.
  func hasRoom(_ bytes: Int, for client: [UInt8], isWork: Bool = true) -> Bool {
    let own = self.bytes(of: client)
    if own == 0 { return all.bytes == 0 || all.bytes + bytes <= inAll }
    return own + bytes <= perClient - (isWork ? 0 : perClient / 4) && all.bytes + bytes <= inAll - inAll / 4
  }

  /// Why a client gets no more work done before it has read; nil if it may ask.
  func refusal(of client: [UInt8]) -> String? {
    let own = bytes(of: client)
    if own > perClient / 2 {
      return "\(own) bytes of replies wait for this client to read them, of at most \(perClient)"
    }
    guard own > 0, all.bytes > inAll / 2 else { return nil }
    return "\(all.bytes) bytes of replies wait to be read, of at most \(inAll)"
  }
}
