/// Where the frames of cameras come in, and where what was found in them leaves.
public struct CameraSettings: Sendable, Equatable {
  /// Where cameras send to (PUSH).
  public var endpoints: [String] = []
  /// Cameras that publish (PUB), which are connected to.
  public var publishers: [String] = []
  /// How the names of the streams begin that publishers are asked for; all unless given.
  public var topics: [String] = []
  /// Where results are published (for SUB).
  public var results: [String] = []
  /// With what publishers are connected to; in the clear without.
  public var keys: GuestKeys?
  /// How many streams are known at a time.
  public var streams = 64
  /// A stream that has sent nothing for so long makes room for another.
  public var idle = Duration.seconds(10)
  /// How many frames are worked on at a time: one in each stage.
  public var framesInWork = 3
  /// Frames that wait and those in work, in bytes.
  public var bytes = 1 << 30
  /// How many results may wait for a subscriber.
  public var unread = 8
  /// Results that some subscriber has not read yet, in bytes.
  public var unreadBytes = 256 << 20

  /// - Parameter results: where they are published.
  public init(results: [String] = []) { self.results = results }
}
