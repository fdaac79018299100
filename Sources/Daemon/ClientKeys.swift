import ZeroMQ

/// The keys with which this process comes in elsewhere: a worker at its daemon, a daemon at a camera that publishes.
public struct ClientKeys: Sendable, Equatable {
  var pair: CurveKeyPair
  var serverKey: String

  /// - Parameters:
  ///   - file: the secret key, as `pandion keygen` writes it.
  ///   - serverFile: the public key of the other side.
  public init(file: String, serverFile: String) throws(DaemonError) {
    let secret = try KeyFolder.key(inFile: file)
    serverKey = try KeyFolder.key(inFile: serverFile)
    pair = try sockets { () throws(ZeroMQError) in try CurveKeyPair(secretKey: secret) }
  }
}
