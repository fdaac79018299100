import ZeroMQ

/// The keys with which a client or a worker comes in where the daemon asks for some.
public struct GuestKeys: Sendable {
  var pair: CurveKeyPair
  var serverKey: String

  /// - Parameters:
  ///   - file: the guest's secret key, as `pandion keygen` writes it.
  ///   - serverFile: the daemon's public key.
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
