import Foundation
import ZeroMQ

/// Answers the library when it asks whether a client may come in (ZAP, RFC 27), on a thread of its own.
///
/// It fails closed: whatever is neither a CURVE handshake in our domain with a key that is listed, nor one on an ipc socket,
/// is refused, and so is everybody once it has ended.
final class Authenticator: Sendable {
  static let domain = "pandion"
  /// The domain of the endpoint for workers, who have a list of their own.
  static let workerDomain = "pandion-worker"
  /// The domain of ipc sockets, which their folder guards.
  static let localDomain = "pandion-local"
  private static let endpoint = "inproc://zeromq.zap.01"
  private static let stopEndpoint = "inproc://pandion/zap-stop"
  private let context: Context
  private let finished = DispatchSemaphore(value: 0)

  /// Answers once it returns.
  ///
  /// - Parameters:
  ///   - context: that of the sockets to be guarded; it takes one authenticator.
  ///   - isAuthorised: asked with a client's public key, 32 bytes.
  ///   - isWorker: likewise for a worker's; by default nobody is one.
  init(
    _ context: Context, isAuthorised: @escaping @Sendable ([UInt8]) -> Bool,
    isWorker: @escaping @Sendable ([UInt8]) -> Bool = { _ in false }
  ) throws(ZeroMQError) {
    self.context = context
    let sockets = try Sockets(context)
    let finished = finished
    let thread = Thread {
      // Where it fails nobody answers any more, and the library refuses everybody.
      try? sockets.serve(isAuthorised, isWorker)
      finished.signal()
    }
    thread.name = "pandion-zap"
    thread.start()
  }

  func stop() {
    guard let socket = try? Socket(context, .push, linger: 1000), (try? socket.connect(Self.stopEndpoint)) != nil,
      (try? socket.send([[]], timeout: 1000)) != nil
    else { return }
    finished.wait()
  }

  /// What a request gets: version, the request's number, status, reason, user, metadata.
  static func answer(
    _ frames: [[UInt8]], isWorker: ([UInt8]) -> Bool = { _ in false }, isAuthorised: ([UInt8]) -> Bool
  ) -> [[UInt8]] {
    let number = frames.count > 1 ? frames[1] : []
    let isLocal =
      frames.count == 6 && frames[0] == Array("1.0".utf8) && frames[2] == Array(localDomain.utf8)
      && frames[5] == Array("NULL".utf8)
    var isIn = isLocal
    if frames.count == 7, frames[0] == Array("1.0".utf8), frames[5] == Array("CURVE".utf8), frames[6].count == 32 {
      isIn =
        frames[2] == Array(domain.utf8) && isAuthorised(frames[6])
        || frames[2] == Array(workerDomain.utf8) && isWorker(frames[6])
    }
    let texts = isIn ? ["200", "OK"] : ["400", "no authorised key"]
    return [Array("1.0".utf8), number] + texts.map { Array($0.utf8) } + [[], []]
  }

  private final class Sockets: @unchecked Sendable {
    private let requests: Socket
    private let stop: Socket

    init(_ context: Context) throws(ZeroMQError) {
      requests = try Socket(context, .rep)
      stop = try Socket(context, .pull)
      try requests.bind(Authenticator.endpoint)
      try stop.bind(Authenticator.stopEndpoint)
    }

    func serve(_ isAuthorised: ([UInt8]) -> Bool, _ isWorker: ([UInt8]) -> Bool) throws(ZeroMQError) {
      var poller = Poller()
      let requested = poller.add(requests)
      let stopped = poller.add(stop)
      while true {
        _ = try poller.wait(milliseconds: nil)
        if poller.isReady(requested), let frames = try requests.receive()?.frames {
          try requests.send(Authenticator.answer(frames, isWorker: isWorker, isAuthorised: isAuthorised))
        }
        if poller.isReady(stopped) { return }
      }
    }
  }
}
