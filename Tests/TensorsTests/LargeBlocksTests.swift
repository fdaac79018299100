import Testing

@testable import Tensors

@Suite struct LargeBlocksTests {
  /// What nobody wanted between two calls is gone: the system gives cleared pages for it.
  @Test func idleBlocksGoBack() throws {
    let bytes = (5 << 20) + 4096  // nobody else's size
    let block = try #require(LargeBlocks.take(bytes))
    block.storeBytes(of: 7, as: UInt8.self)
    LargeBlocks.give(block, bytes)
    LargeBlocks.giveIdleBack()
    LargeBlocks.giveIdleBack()
    let fresh = try #require(LargeBlocks.take(bytes))
    #expect(fresh.load(as: UInt8.self) == 0)
    LargeBlocks.give(fresh, bytes)
  }
}
