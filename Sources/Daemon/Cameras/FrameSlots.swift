import Wire

/// The frames of all streams. Of each stream one is in work and the newest of the others waits; older ones are dropped and
/// counted. Streams take turns.
struct FrameSlots {
  /// A frame that could be read.
  struct Frame: Sendable {
    let name: Name
    let request: Request
    let blobs: [[UInt8]]
    /// What it takes here, in bytes.
    let bytes: Int
    let arrived: ContinuousClock.Instant
  }

  /// Which one: of which stream, and its number there, from 1.
  struct Name: Sendable, Equatable {
    let stream: [UInt8]
    let seq: Int
  }

  private struct Slot {
    var received = 0
    var answered = 0
    var errors = 0
    var dropped = 0
    var waiting: Frame?
    var bytesInWork: Int?
    var seen: ContinuousClock.Instant
    /// The least goes first: it counts the frames that were begun, all streams' together, up to this stream's last.
    var turn: Int
    /// The picture of the frame answered last.
    var handle: String?

    var isIdle: Bool { waiting == nil && bytesInWork == nil }
    var waitingBytes: Int { waiting?.bytes ?? 0 }
  }

  private let settings: CameraSettings
  private var slots: [[UInt8]: Slot] = [:]
  private var inWork = 0
  private var begun = 0
  private(set) var bytes = 0
  /// Frames of streams that there was no room for.
  private(set) var turnedAway = 0
  private(set) var isDraining = false

  init(_ settings: CameraSettings) { self.settings = settings }

  /// Counts a frame that came, be it good or not.
  ///
  /// - Throws: `busy` where it is of one stream too many.
  mutating func arrive(_ stream: [UInt8], now: ContinuousClock.Instant = .now) throws(WireError) -> Name {
    if slots[stream] == nil {
      if slots.count >= settings.streams { try forgetOne(now) }
      // A new one's turn comes after those that wait already, and before that of the stream begun last.
      slots[stream] = Slot(seen: now, turn: begun)
    }
    slots[stream]?.received += 1
    slots[stream]?.seen = now
    return Name(stream: stream, seq: slots[stream]?.received ?? 1)
  }

  private mutating func forgetOne(_ now: ContinuousClock.Instant) throws(WireError) {
    let oldest = slots.filter(\.value.isIdle).min { $0.value.seen < $1.value.seen }
    guard let oldest, now - oldest.value.seen >= settings.idle else {
      turnedAway += 1
      throw WireError(
        .busy, "\(slots.count) streams send frames already, of at most \(settings.streams)",
        retryAfterMilliseconds: Int(settings.idle.seconds * 1000))
    }
    slots[oldest.key] = nil
  }

  /// Has a frame wait for its turn, in the place of an older one.
  ///
  /// - Returns: false once nothing more is begun.
  mutating func wait(_ frame: Frame) -> Bool {
    guard !isDraining, slots[frame.name.stream] != nil else { return false }
    drop(frame.name.stream)
    slots[frame.name.stream]?.waiting = frame
    bytes += frame.bytes
    // The largest goes, so that one camera with large frames does not cost the others theirs.
    while bytes > settings.bytes, let largest = slots.max(by: { $0.value.waitingBytes < $1.value.waitingBytes }),
      largest.value.waiting != nil
    { drop(largest.key) }
    return true
  }

  private mutating func drop(_ stream: [UInt8]) {
    guard let frame = slots[stream]?.waiting else { return }
    slots[stream]?.waiting = nil
    slots[stream]?.dropped += 1
    bytes -= frame.bytes
  }

  /// The frame to be begun now: of the stream that has waited longest for its turn.
  mutating func next() -> Frame? {
    guard inWork < settings.framesInWork else { return nil }
    let ready = slots.filter { $0.value.waiting != nil && $0.value.bytesInWork == nil }
    let turn = ready.min { a, b in
      if a.value.turn != b.value.turn { return a.value.turn < b.value.turn }
      return (a.value.waiting?.arrived ?? .now) < (b.value.waiting?.arrived ?? .now)
    }
    guard let stream = turn?.key, let frame = turn?.value.waiting else { return nil }
    inWork += 1
    begun += 1
    slots[stream]?.waiting = nil
    slots[stream]?.bytesInWork = frame.bytes
    slots[stream]?.turn = begun + 1
    return frame
  }

  /// A frame that was begun has its answer.
  ///
  /// - Parameter handle: of its picture, if it came to one.
  /// - Returns: how many of its stream were dropped so far, and the picture before this one.
  mutating func finish(_ stream: [UInt8], isError: Bool, handle: String? = nil) -> (dropped: Int, previous: String?) {
    inWork -= 1
    bytes -= slots[stream]?.bytesInWork ?? 0
    slots[stream]?.bytesInWork = nil
    let previous = slots[stream]?.handle
    if let handle { slots[stream]?.handle = handle }
    return (answer(stream, isError: isError), handle == nil || handle == previous ? nil : previous)
  }

  /// Counts an answer; a frame that is refused has one too.
  ///
  /// - Returns: how many of its stream were dropped so far.
  mutating func answer(_ stream: [UInt8], isError: Bool) -> Int {
    slots[stream]?.answered += 1
    if isError { slots[stream]?.errors += 1 }
    return slots[stream]?.dropped ?? 0
  }

  /// Begins nothing more.
  ///
  /// - Returns: the frames that waited.
  mutating func drain() -> [Frame] {
    isDraining = true
    let waiting = slots.values.compactMap(\.waiting)
    for frame in waiting {
      slots[frame.name.stream]?.waiting = nil
      bytes -= frame.bytes
    }
    return waiting
  }

  /// What `stats` tells of each stream.
  var counts: JSONValue {
    let streams = slots.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { stream, slot in
      let counts: [(String, JSONValue?)] = [
        ("received", .integer(slot.received)), ("answered", .integer(slot.answered)), ("errors", .integer(slot.errors)),
        ("dropped", .integer(slot.dropped)),
      ]
      return (String(decoding: stream, as: UTF8.self), JSONValue?.some(JSONValue(entries: counts)))
    }
    return JSONValue(entries: streams)
  }
}
