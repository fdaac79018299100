import Testing
import Wire

@testable import Daemon

@Suite struct AnswerCacheTests {
  private func key(_ client: UInt8, _ id: String) -> AnswerCache.Key { .init(client: [client], id: ExactText(id)) }

  @Test func whoAsksMuchForgetsItsOwn() {
    var cache = AnswerCache(capacity: 4, bytes: 1000)
    cache.keep([[1]], for: key(1, "a"))
    cache.keep([[2]], for: key(1, "b"))
    for id in 0..<100 { cache.keep([[3]], for: key(2, "\(id)")) }
    #expect(cache[key(1, "a")] == [[1]] && cache[key(1, "b")] == [[2]])
    #expect(cache[key(2, "99")] == [[3]] && cache[key(2, "98")] == [[3]] && cache[key(2, "97")] == nil)
    // Of many with one each the oldest goes.
    for client: UInt8 in 3..<7 { cache.keep([[4]], for: key(client, "a")) }
    let kept = (UInt8(1)..<7).filter { cache[key($0, "a")] != nil }
    #expect(kept == [3, 4, 5, 6] && cache[key(1, "b")] == nil)
  }

  @Test func bytesAreBoundedToo() {
    var cache = AnswerCache(capacity: 10, bytes: 100)
    let large = [[UInt8](repeating: 0, count: 30), [UInt8](repeating: 0, count: 20)]
    cache.keep([[1]], for: key(1, "a"))
    for id in ["x", "y", "z"] { cache.keep(large, for: key(2, id)) }
    #expect(cache[key(2, "z")] == large && cache[key(2, "y")] == nil && cache[key(1, "a")] == [[1]])
    // One that takes more than half of all is not kept, nor anything forgotten for it.
    cache.keep([[UInt8](repeating: 0, count: 51)], for: key(3, "a"))
    #expect(cache[key(3, "a")] == nil && cache[key(2, "z")] == large)
    // The first answer stays.
    cache.keep([[9]], for: key(1, "a"))
    #expect(cache[key(1, "a")] == [[1]])
  }

  @Test func largeOnesAreForgottenInTime() {
    var cache = AnswerCache(capacity: 10, bytes: 10 << 20)
    let (start, large) = (ContinuousClock.now, [[UInt8](repeating: 0, count: 300 << 10)])
    cache.keep(large, for: key(1, "large"), now: start)
    cache.keep([[1]], for: key(1, "small"), now: start)
    cache.keep(large, for: key(2, "later"), now: start + .seconds(5))
    cache.forgetLate(now: start + .seconds(9))
    #expect(cache[key(1, "large")] == large && cache.nextEnd == start + .seconds(10))
    cache.forgetLate(now: start + .seconds(11))
    #expect(cache[key(1, "large")] == nil && cache[key(1, "small")] == [[1]] && cache[key(2, "later")] == large)
    #expect(cache.nextEnd == start + .seconds(15))
    cache.forgetLate(now: start + .seconds(16))
    #expect(cache[key(2, "later")] == nil && cache.nextEnd == nil && cache[key(1, "small")] == [[1]])
  }

  /// Two spellings of é, which Swift takes for the same string.
  @Test func idsAreTheirBytes() {
    var cache = AnswerCache(capacity: 4, bytes: 100)
    cache.keep([[1]], for: key(1, "\u{E9}"))
    #expect(cache[key(1, "e\u{301}")] == nil && cache[key(1, "\u{E9}")] == [[1]])
  }
}
