import Testing
import Wire

@testable import Daemon

/// Frames by the letters of their streams.
private final class Slots {
  private var slots: FrameSlots

  init(_ change: (inout CameraSettings) -> Void = { _ in }) {
    var settings = CameraSettings()
    change(&settings)
    slots = FrameSlots(settings)
  }

  var bytes: Int { slots.bytes }
  var turnedAway: Int { slots.turnedAway }
  func counts(_ stream: Character) -> [Int] {
    ["received", "answered", "errors", "dropped"].map { slots.counts[String(stream)]?[$0]?.integer ?? -1 }
  }

  /// - Returns: whether it may wait.
  @discardableResult
  func arrive(_ stream: Character, bytes: Int = 1, at now: ContinuousClock.Instant = .now) throws -> Bool {
    let name = try slots.arrive(Array(String(stream).utf8), now: now)
    return slots.wait(.init(name: name, request: Request(.hello), blobs: [], bytes: bytes, arrived: .now))
  }

  /// One that is no good.
  func see(_ stream: Character, at now: ContinuousClock.Instant) throws -> Int {
    try slots.arrive(Array(String(stream).utf8), now: now).seq
  }

  func next() -> String? { slots.next().map(Self.text) }
  func finish(_ stream: Character) -> Int { slots.finish(Array(String(stream).utf8), isError: false).dropped }
  func drain() -> [String] { slots.drain().map(Self.text) }

  private static func text(_ frame: FrameSlots.Frame) -> String {
    String(decoding: frame.name.stream, as: UTF8.self) + "\(frame.name.seq)"
  }
}

@Suite struct FrameSlotsTests {
  @Test func theNewestWaitsWhileOneIsInWork() throws {
    let slots = Slots()
    #expect(slots.next() == nil)
    try slots.arrive("a", bytes: 5)
    #expect(slots.next() == "a1")
    for _ in 0..<4 { try slots.arrive("a", bytes: 7) }
    #expect(slots.bytes == 12)
    #expect(slots.next() == nil)
    #expect(slots.finish("a") == 3)
    #expect(slots.next() == "a5")
    #expect(slots.bytes == 7)
    #expect(slots.finish("a") == 3)
    #expect(slots.next() == nil && slots.bytes == 0)
    #expect(slots.counts("a") == [5, 2, 0, 3])
  }

  @Test func streamsTakeTurns() throws {
    let slots = Slots { $0.framesInWork = 1 }
    var order: [String] = []
    for stream in "aabc" { try slots.arrive(stream) }
    for round in 0..<6 {
      order.append(slots.next() ?? "none")
      // Somebody who sends all the time, and a new one in between.
      for _ in 0..<3 { try slots.arrive("a") }
      if round == 1 { try slots.arrive("d") }
      if round == 2 { try slots.arrive("b") }
      #expect(slots.next() == nil)
      _ = slots.finish(order.last?.first ?? "a")
    }
    #expect(order == ["a2", "b1", "c1", "d1", "a14", "b2"])
  }

  @Test func soManyAreInWorkAtATime() throws {
    let slots = Slots { $0.framesInWork = 2 }
    for stream in "abc" { try slots.arrive(stream) }
    #expect([slots.next(), slots.next(), slots.next()] == ["a1", "b1", nil])
    _ = slots.finish("b")
    #expect(slots.next() == "c1")
  }

  @Test func bytesAreBoundedAndTheLargestGoes() throws {
    let slots = Slots { $0.bytes = 100 }
    for stream in "abc" { try slots.arrive(stream, bytes: 10) }
    try slots.arrive("d", bytes: 90)
    #expect(slots.bytes == 30 && slots.counts("d")[3] == 1)
    try slots.arrive("d", bytes: 60)
    try slots.arrive("e", bytes: 40)
    #expect(slots.bytes == 70 && slots.counts("d")[3] == 2)
    // What is in work counts too, and stays.
    for _ in 0..<3 { _ = slots.next() }
    try slots.arrive("a", bytes: 100)
    #expect(slots.bytes == 70 && slots.counts("a")[3] == 1)
  }

  @Test func streamsAreBoundedInNumber() throws {
    let slots = Slots {
      $0.streams = 2
      $0.idle = .seconds(10)
    }
    let start = ContinuousClock.now
    #expect(try slots.see("a", at: start) == 1)
    #expect(try slots.see("b", at: start + .seconds(5)) == 1)
    #expect(throws: WireError.self) { try slots.see("c", at: start + .seconds(9)) }
    #expect(slots.turnedAway == 1)
    // The one that has sent nothing for longest makes room, and is new when it comes again.
    #expect(try slots.see("b", at: start + .seconds(9)) == 2)
    #expect(try slots.see("c", at: start + .seconds(11)) == 1)
    #expect(try slots.see("a", at: start + .seconds(20)) == 1)
    #expect(try slots.see("b", at: start + .seconds(60)) == 1)
    // Not while something of it waits or is in work.
    for stream in "ba" { try slots.arrive(stream, at: start + .seconds(60)) }
    #expect(slots.next() == "b2")
    #expect(throws: WireError.self) { try slots.see("d", at: start + .seconds(600)) }
  }

  @Test func aFloodIsReadSlowly() {
    let start = ContinuousClock.now
    var pace = ReadingPace(now: start)
    var pauses: [Int?] = []
    for count in 0..<65 {
      if count >= 63 { pauses.append(pace.pause(now: start + .milliseconds(4))) }
      pace.count()
    }
    pauses.append(pace.pause(now: start + .milliseconds(10)))
    #expect(pauses == [nil, 6, nil])
  }

  @Test func nothingIsBegunAfterTheEnd() throws {
    let slots = Slots()
    for stream in "aab" { try slots.arrive(stream, bytes: 3) }
    #expect(slots.next() == "a2")
    #expect(slots.drain() == ["b1"])
    #expect(slots.bytes == 3)
    #expect(try !slots.arrive("a"))
    #expect(slots.next() == nil && slots.bytes == 3)
    #expect(slots.finish("a") == 1)
  }
}
