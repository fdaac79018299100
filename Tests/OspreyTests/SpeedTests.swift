import Foundation
import Masks
import Tensors
import Testing

@testable import Osprey

@Suite struct SpeedTests {
  /// Prints times for a model folder; runs only where `OSPREY_FOLDER` names one, on `OSPREY_THREADS` threads or one.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["OSPREY_FOLDER"] != nil))
  func seeAndLabel() throws {
    ComputePool.setThreads(ProcessInfo.processInfo.environment["OSPREY_THREADS"].flatMap(Int.init) ?? 1)
    let folder = try #require(ProcessInfo.processInfo.environment["OSPREY_FOLDER"])
    let clock = ContinuousClock()
    var osprey: Osprey?
    print("speed load", try clock.measure { osprey = try Osprey(folder: folder) })
    let model = try #require(osprey)
    let image = Fixture.picture(width: 640, height: 480)
    var mask = BitMask(width: 640, height: 480)
    for y in 100..<300 { for x in 200..<400 { mask[x, y] = true } }
    for _ in 0..<2 {
      var features: ImageFeatures?
      print("speed preprocess", try clock.measure { _ = try model.preprocessor(image) })
      print("speed features", try clock.measure { features = try model.features(image) })
      var seen: OspreyImage?
      let kept = try #require(features)
      print("speed prefill", try clock.measure { seen = try model.prefill(kept) })
      let picture = try #require(seen)
      print("speed region", try clock.measure { _ = try model.regionTokens(kept, mask) })
      for tokens in [1, 17] {
        let time = try clock.measure {
          _ = try model.label(picture, mask: mask, style: .detailed, maxTokens: tokens)
        }
        print("speed label of at most", tokens, "tokens", time)
      }
      let many = try clock.measure {
        _ = try model.labels(picture, masks: Array(repeating: mask, count: 16), style: .short, maxTokens: 17)
      }
      print("speed 16 labels of at most 17 tokens", many)
    }
  }
}
