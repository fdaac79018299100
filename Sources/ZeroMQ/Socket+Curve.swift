import CZeroMQ

/// A pair of CURVE keys, in Z85: forty characters each.
public struct CurveKeyPair: Sendable, Equatable {
  public let publicKey: String
  public let secretKey: String

  /// Makes a pair from the system's randomness.
  ///
  /// - Throws: `failed` where the library was built without CURVE.
  public init() throws(ZeroMQError) {
    var (open, secret) = ([CChar](repeating: 0, count: 41), [CChar](repeating: 0, count: 41))
    guard zmq_curve_keypair(&open, &secret) == 0 else { throw .last("make keys for", "CURVE") }
    (publicKey, secretKey) = (Self.text(open), Self.text(secret))
  }

  /// The pair of a secret that was made earlier.
  ///
  /// - Throws: `failed` for anything but forty characters of Z85.
  public init(secretKey: String) throws(ZeroMQError) {
    var open = [CChar](repeating: 0, count: 41)
    guard secretKey.utf8.count == 40, zmq_curve_public(&open, secretKey) == 0 else {
      throw .failed(operation: "read a secret key for", endpoint: "CURVE", errno: EINVAL)
    }
    (publicKey, self.secretKey) = (Self.text(open), secretKey)
  }

  /// The 32 bytes of a key in Z85, or nil for anything else.
  public static func bytes(_ key: String) -> [UInt8]? {
    guard key.utf8.count == 40 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 32)
    return zmq_z85_decode(&bytes, key) == nil ? nil : bytes
  }

  private static func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension Socket {
  /// Takes only clients that speak CURVE, on what is bound from now on.
  ///
  /// - Parameter domain: what the authenticator is asked with. Since there is one, the library refuses everybody while no
  ///   authenticator answers.
  public func requireCurve(secretKey: String, domain: String) throws(ZeroMQError) {
    try handle.set(ZMQ_CURVE_SERVER, Int32(1))
    try handle.set(ZMQ_CURVE_SECRETKEY, text: secretKey)
    try handle.set(ZMQ_ZAP_DOMAIN, text: domain)
  }

  /// Takes clients without keys, on what is bound from now on, after another endpoint has required them.
  ///
  /// - Parameter domain: what the authenticator is asked with, because the library cannot be told to ask no more.
  public func requireNothing(domain: String) throws(ZeroMQError) {
    try handle.set(ZMQ_CURVE_SERVER, Int32(0))
    try handle.set(ZMQ_ZAP_DOMAIN, text: domain)
  }

  /// Speaks CURVE as a client, on what is connected from now on.
  public func useCurve(_ keys: CurveKeyPair, serverKey: String) throws(ZeroMQError) {
    try handle.set(ZMQ_CURVE_SERVERKEY, text: serverKey)
    try handle.set(ZMQ_CURVE_PUBLICKEY, text: keys.publicKey)
    try handle.set(ZMQ_CURVE_SECRETKEY, text: keys.secretKey)
  }

  /// Sets a ROUTER up for strangers, on what is bound from now on: who connects and says nothing, or does not read
  /// is let go of, and what cannot be sent to a client is told instead of dropped in silence.
  ///
  /// Not ROUTER_HANDOVER: a connection whose name another has taken over keeps its descriptor for good if it says anything more.
  public func guardAgainstStrangers() throws(ZeroMQError) {
    try handle.set(ZMQ_ROUTER_MANDATORY, Int32(1))
    try endIdleConnections()
  }

  /// Sets a socket up for others that may vanish, on what is bound and connected from now on: a connection whose other side does
  /// not come to the end of its greeting, does not read, or is not there any more is let go of. A socket that connects tries
  /// again.
  ///
  /// The kernel looks after that, not the library's heartbeats: libzmq 4.3.4 ends the process where one is due on a connection that
  /// failed while nothing was read from it (`Assertion failed: !_io_error`).
  public func endIdleConnections() throws(ZeroMQError) {
    try handle.set(ZMQ_BACKLOG, Int32(1024))
    try handle.set(ZMQ_HANDSHAKE_IVL, Int32(5_000))
    try handle.set(ZMQ_TCP_KEEPALIVE, Int32(1))
    try handle.set(ZMQ_TCP_KEEPALIVE_IDLE, Int32(5))
    try handle.set(ZMQ_TCP_KEEPALIVE_INTVL, Int32(5))
    try handle.set(ZMQ_TCP_KEEPALIVE_CNT, Int32(3))
    try handle.set(ZMQ_TCP_MAXRT, Int32(20_000))
  }
}

extension SocketHandle {
  func set(_ option: Int32, text: String) throws(ZeroMQError) {
    guard zmq_setsockopt(raw, option, text, text.utf8.count) == 0 else { throw .last("set an option of", "a socket") }
  }
}
