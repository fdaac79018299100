import Foundation
import Testing

@testable import Imaging

/// What `Tools/parity/imaging.py` writes.
enum Goldens {
  struct Picture: Decodable, Sendable {
    let name: String
    let width: Int
    let height: Int
    let file: Data
    let rgb: Data
  }

  struct Resizings: Decodable, Sendable {
    let width: Int
    let height: Int
    let rgb: Data
    let results: [Resizing]
    let checksums: [Checksum]
  }

  struct Resizing: Decodable, Sendable {
    let filter: String
    let width: Int
    let height: Int
    let rgb: Data
  }

  struct Checksum: Decodable, Sendable {
    let filter: String
    let from: [Int]
    let to: [Int]
    let adler32: UInt32
  }

  static func read<Value: Decodable>(_ name: String) throws -> Value {
    let folder = try #require(Bundle.module.resourceURL)
    let file = folder.appendingPathComponent("Fixtures").appendingPathComponent(name)
    return try JSONDecoder().decode(Value.self, from: Data(contentsOf: file))
  }
}

extension Image {
  /// A picture that both languages can make: `pattern` in `Tools/parity/imaging.py`.
  static func pattern(width: Int, height: Int) -> Image {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(width * height * 3)
    for y in 0..<height {
      for x in 0..<width {
        for c in 1...3 { pixels.append(UInt8(truncatingIfNeeded: x * 7 + y * 13 + x * y % 251 * c)) }
      }
    }
    return Image(width: width, height: height, pixels: pixels)
  }

  /// Where the two differ most, or nil if they are equal.
  func largestDifference(from other: Image) -> String? {
    guard width == other.width, height == other.height else {
      return "\(width)×\(height), expected \(other.width)×\(other.height)"
    }
    let differences = zip(pixels, other.pixels).map { abs(Int($0) - Int($1)) }
    guard let index = differences.indices.max(by: { differences[$0] < differences[$1] }), differences[index] > 0
    else { return nil }
    return "largest difference \(differences[index]) at x \(index / 3 % width), y \(index / 3 / width), "
      + "channel \(index % 3); \(differences.count { $0 > 0 }) of \(differences.count) differ"
  }
}
