import Foundation
import Synchronization
import Testing
import Wire
import ZeroMQ

@testable import Daemon

/// Who is taken as a worker, and who is told why not.
@Suite struct WorkerWelcomeTests {
  private static let other = ModelDescription(name: "other", role: "segmenter", architecture: "square")

  /// Says READY and hears what comes of it.
  private func answer(
    _ rig: WorkerRig, _ name: String, _ model: ModelDescription, _ socket: borrowing Socket
  ) throws -> MessageToWorker {
    let ready = WorkerReady(stage: .segment, name: name, model: model, credit: [.segment: 1])
    try socket.send(MessageFromWorker.ready(ready).frames)
    return try #require(MessageToWorker(try socket.receive(timeout: 5000).frames))
  }

  private func socket(_ rig: WorkerRig) throws -> Socket {
    let socket = try Socket(rig.context, .dealer)
    try socket.connect(rig.pool.boundEndpoints[0])
    return socket
  }

  /// What workers of another model made of pictures is kept, so that their model stays when they have gone.
  @Test func theFirstOnesModelStaysTheStages() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let first = try rig.scripted("first")
    try first.say(.bye)
    guard case .stop = try first.hear() else { throw ScriptedWorker.Surprise() }
    guard case .refused(let reason) = try answer(rig, "second", Self.other, socket(rig)) else {
      throw ScriptedWorker.Surprise()
    }
    // Without the name of one that is taken, which could be used.
    #expect(reason.contains("fake") && reason.contains("restart") && !reason.contains("first"), "\(reason)")
    // A model for something else is none either, whoever came first.
    let labeler = ModelDescription(name: "fake", role: "labeler", architecture: "square")
    guard case .refused = try answer(rig, "third", labeler, socket(rig)) else { throw ScriptedWorker.Surprise() }
    _ = try rig.scripted("fourth")
    try rig.stop()
  }

  /// Where the daemon keeps workers running, their model is the stage's, whoever is there before them.
  @Test func strangersDoNotSayWhichModelItIs() throws {
    let rig = try WorkerRig({ $0.silence = .seconds(10) }, supervised: [.segment])
    rig.pool.withState { $0.supervisedNames = ["own"] }
    let stranger = try socket(rig)
    let friend = try socket(rig)
    guard case .again = try answer(rig, "stranger", Self.other, stranger) else { throw ScriptedWorker.Surprise() }
    guard case .again = try answer(rig, "friend", ScriptedWorker.model, friend) else {
      throw ScriptedWorker.Surprise()
    }
    #expect(try rig.stats()["segment"] == .integer(0))
    // Who says it at once again is not told again at once.
    let ready = WorkerReady(stage: .segment, name: "friend", model: ScriptedWorker.model, credit: [.segment: 1])
    try friend.send(MessageFromWorker.ready(ready).frames)
    #expect(throws: ZeroMQError.self) { try friend.receive(timeout: 300) }
    _ = try rig.scripted("own")
    guard case .refused = try answer(rig, "stranger", Self.other, stranger) else { throw ScriptedWorker.Surprise() }
    guard case .alive = try answer(rig, "friend", ScriptedWorker.model, friend) else {
      throw ScriptedWorker.Surprise()
    }
    try rig.stop()
  }

  /// Who takes another's name, and then says what is nothing, has not the other one killed.
  @Test func aStolenNameKillsNobody() throws {
    let rig = try WorkerRig { $0.silence = .seconds(10) }
    let lost = Lost()
    rig.pool.withState { $0.isLost = { name in lost.names.withLock { $0.append(name) } } }
    let own = try rig.scripted("own")
    let thief = try rig.scripted("own")
    try thief.socket.send([Array("garbage".utf8)])
    try rig.await("lost", 1)
    #expect(lost.names.withLock { $0 } == [])
    try own.introduce()
    try own.socket.send([Array("garbage".utf8)])
    try rig.await("lost", 2)
    #expect(lost.names.withLock { $0 } == ["own"])
    try rig.stop()
  }

  private final class Lost: Sendable { let names = Mutex<[String]>([]) }

  /// A worker whose READY is none is told so, and does not wait for ever.
  @Test(arguments: [
    (#""v":2,"stage":"segment","name":"x","credit":{"segment":1}"#, "version"),
    (#""v":1,"stage":"nope","name":"x","credit":{"segment":1}"#, "stage"),
    (#""v":1,"stage":"segment","name":"","credit":{"segment":1}"#, "name"),
    (#""v":1,"stage":"segment","name":"x","credit":{"segment":1000000000}"#, "credit.segment is to be 1 to 64"),
    (#""v":1,"stage":"segment","name":"x","credit":{"segment":-1}"#, "credit.segment is to be 1 to 64"),
    (#""v":1,"stage":"segment","name":"x","credit":{"language":1}"#, "credit"),
    (#""v":1,"stage":"segment","name":"x","credit":{"segment":1},"model":7"#, "model"),
  ]) func aReadyThatIsNoneIsRefused(_ fields: String, _ reason: String) throws {
    let rig = try WorkerRig()
    let socket = try socket(rig)
    let model = #","model":{"name":"fake","role":"segmenter","architecture":"square"}"#
    let head = #"{"type":"ready",\#(fields)\#(fields.contains("model") ? "" : model)}"#
    try socket.send([Array(head.utf8)])
    guard case .refused(let told)? = MessageToWorker(try socket.receive(timeout: 5000).frames) else {
      throw ScriptedWorker.Surprise()
    }
    #expect(told.contains(reason), "\(told)")
    try rig.stop()
  }
}
