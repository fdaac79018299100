/// How a daemon is set up; a YAML file and arguments change the defaults.
public struct Configuration: Sendable, Equatable {
  /// Where requests come in.
  public var endpoints: [String]
  /// Where control comes in, so that it never waits behind work.
  public var controlEndpoints: [String]
  /// How many requests may be accepted and not answered; more get `busy`.
  public var queue = 64
  /// The blobs of accepted requests together, in bytes; more get `busy`.
  public var queueBytes = 1 << 30
  /// The same for each client, so that one does not shut out the others. One request always fits the bytes.
  public var queuePerClient = 32
  public var queueBytesPerClient = 512 << 20
  /// Replies that a client has not read, and those of all together, in bytes. More are not sent; who has half of it unread gets
  /// `busy`.
  public var unreadBytesPerClient = 64 << 20
  public var unreadBytes = 512 << 20
  /// What comes over TCP and is no message yet; nil takes what the wire's limits need.
  var incoming: IncomingGuard.Limits?
  /// How many answers a second go out that took no work, refusals above all, while somebody's work is under way.
  public var refusalsPerSecond = 400
  /// The keys for TCP endpoints, which without them are plain; ipc is guarded by its folder's mode.
  public var keys: KeyFolder?
  /// Cameras, if there are any.
  public var cameras: CameraSettings?
  /// Whether other machines may connect without keys.
  public var insecure = false
  /// How long a client that was told `busy` should wait, in milliseconds for each request before it.
  public var retryMillisecondsPerRequest = 50
  /// Answers that are kept for repeated ids, in number and in bytes.
  public var rememberedAnswers = 256
  public var rememberedBytes = 64 << 20
  /// How many requests are labelled at a time. They do not compute beside each other: the labeler decodes their questions
  /// together, step by step.
  public var labelled = 4
  /// How many requests are with the workers of a stage at a time, for stages that do not run in this process.
  public var withWorkers: [Pipeline.Stage: Int] = [:]
  /// How long the end waits for what was accepted; what is not done then is told so. Shorter than what systemd gives.
  public var drainLimit = Duration.seconds(50)
  /// How long the end waits for replies to leave, in milliseconds.
  public var linger = 2000

  public init(endpoints: [String], controlEndpoints: [String] = []) {
    (self.endpoints, self.controlEndpoints) = (endpoints, controlEndpoints)
  }

  /// How many jobs of a lane are worked on at a time.
  func seats(_ lane: Lane) -> Int {
    // A seat of such a stage only waits.
    if let count = withWorkers[lane.stage] { return max(1, count) }
    return lane == .language ? max(1, labelled) : 1
  }

  public static let tcpEndpoint = "tcp://127.0.0.1:5560"

  /// The endpoints of DESIGN §3: the sockets in the runtime folder, which is made if need be, and TCP on loopback.
  public static func standard() throws(DaemonError) -> Configuration {
    let folder = try RuntimeFolder.make()
    // TCP first: it cannot be taken twice, whereas a socket file of a running daemon would be replaced.
    return Configuration(
      endpoints: [tcpEndpoint, "ipc://\(folder)/pandion.sock"], controlEndpoints: ["ipc://\(folder)/control.sock"])
  }
}
