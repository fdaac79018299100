import CZeroMQ

/// One frame in the library's own memory.
struct Message: ~Copyable {
  // On the heap because the library keeps the address between calls; a Swift value may move.
  private let raw: UnsafeMutablePointer<zmq_msg_t>

  /// An empty frame to receive into.
  init() {
    raw = .allocate(capacity: 1)
    zmq_msg_init(raw)
  }

  /// A frame with a copy of the bytes, or nil where there is no memory for it.
  init?(_ bytes: [UInt8]) {
    raw = .allocate(capacity: 1)
    guard zmq_msg_init_size(raw, bytes.count) == 0 else {
      zmq_msg_init(raw)
      return nil
    }
    bytes.withUnsafeBytes { source in
      if let base = source.baseAddress, let target = zmq_msg_data(raw) {
        target.copyMemory(from: base, byteCount: source.count)
      }
    }
  }

  /// A frame of memory that the library gives back through `release`, also where it takes nothing.
  init?(
    owning data: UnsafeMutableRawPointer, count: Int, hint: UnsafeMutableRawPointer,
    release: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void
  ) {
    raw = .allocate(capacity: 1)
    guard zmq_msg_init_data(raw, data, count, release, hint) == 0 else {
      zmq_msg_init(raw)
      release(data, hint)
      return nil
    }
  }

  deinit {
    zmq_msg_close(raw)
    raw.deallocate()
  }

  var count: Int { zmq_msg_size(raw) }

  /// Whether another frame of the same message follows.
  var hasMore: Bool { zmq_msg_more(raw) != 0 }

  /// The descriptor of the connection over which it came.
  var connection: Int32? {
    let descriptor = zmq_msg_get(raw, ZMQ_SRCFD)
    return descriptor >= 0 ? descriptor : nil
  }

  /// The bytes, copied out.
  var bytes: [UInt8] {
    guard let data = zmq_msg_data(raw) else { return [] }
    return Array(UnsafeRawBufferPointer(start: data, count: count))
  }

  /// Fills the frame from a socket; the library's result.
  func receive(from socket: UnsafeMutableRawPointer, flags: Int32) -> Int32 { zmq_msg_recv(raw, socket, flags) }

  /// Gives the frame to a socket; the library's result.
  func send(to socket: UnsafeMutableRawPointer, flags: Int32) -> Int32 { zmq_msg_send(raw, socket, flags) }
}

/// A message as it came: its frames, as far as the limits let them be kept.
public struct Multipart: Sendable, Equatable {
  public var frames: [[UInt8]]
  /// Frames beyond the limits, read and thrown away, so that the next message is found where it begins.
  public var droppedFrames = 0
  /// The size of what was thrown away, in bytes.
  public var droppedBytes = 0

  public init(_ frames: [[UInt8]]) { self.frames = frames }

  /// How many frames the sender sent.
  public var sentFrames: Int { frames.count + droppedFrames }
}

/// How much of a message is kept.
public struct MessageLimits: Sendable, Equatable {
  public var frames: Int
  /// In bytes, over all frames.
  public var bytes: Int

  public init(frames: Int, bytes: Int) { (self.frames, self.bytes) = (frames, bytes) }

  public static let `default` = MessageLimits(frames: 80, bytes: 256 << 20)
}
