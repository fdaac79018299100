import ZeroMQ

/// The keys with which this process comes in elsewhere: a client or a worker at its daemon, a daemon at a camera that publishes.
public struct GuestKeys: Sendable, Equatable {
  var pair: CurveKeyPair
  var serverKey: String

  /// - Parameters:
  ///   - file: the guest's secret key, as `pandion keygen` writes it.
  ///   - serverFile: the public key of the other side.
  public init(file: String, serverFile: String) throws(DaemonError) {
    let secret = try KeyFolder.key(inFile: file)
    serverKey = try KeyFolder.key(inFile: serverFile)
    pair = try sockets { () throws(ZeroMQError) in try CurveKeyPair(secretKey: secret) }
  }
}

extension Socket {
  /// Comes in with these keys, on what is connected from now on.
  func use(_ keys: GuestKeys) throws(ZeroMQError) { try useCurve(keys.pair, serverKey: keys.serverKey) }
}
