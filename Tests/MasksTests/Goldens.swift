import Foundation

@testable import Masks

/// What `Tools/parity/masks.py` writes; `PANDION_MASK_GOLDENS` names a folder with a larger set.
enum Goldens {
  struct Mask: Decodable, Sendable {
    let height: Int
    let width: Int
    let bits: String
    let counts: [Int]
    let compressed: String
    let area: Int
    let bbox: [Int]
    let iouWithLast: Double?
    let regions: [Region]

    var bitMask: BitMask {
      let digits = bits.compactMap { UInt8(String($0), radix: 16) }
      return BitMask(
        width: width, height: height, bits: (0..<width * height).map { digits[$0 / 4] >> (3 - $0 % 4) & 1 })
    }
  }

  struct Region: Decodable, Sendable {
    let mode: String
    let area: Int
    let compressed: String
    let changed: Bool
  }

  struct Heap: Decodable, Sendable {
    let boxes: [[Float]]
    let scores: [Float]
    let threshold: Float
    let kept: [Int]
  }

  static func read<Value: Decodable>(_ name: String) throws -> [Value] {
    let folder =
      ProcessInfo.processInfo.environment["PANDION_MASK_GOLDENS"]
      ?? Bundle.module.resourceURL?.appendingPathComponent("Fixtures").path ?? ""
    return try JSONDecoder().decode([Value].self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
  }
}
