import Checkpoints
import Layers
import Tensors

/// The part of SAM that looks at a picture, once for all prompts.
package protocol ImageEncoder: Sendable {
  /// The side of the square input, S.
  var imageSize: Int { get }
  /// The side of the grid that comes out, h = w.
  var gridSize: Int { get }
  /// How it wants pictures in its input.
  var fit: ImageFit { get }
  /// - Parameter input: `[S, S, 3]`, normalised.
  /// - Returns: the image embedding `[h, w, C]`.
  func callAsFunction(_ input: Tensor) -> Tensor
}

extension ImageEncoder {
  package var fit: ImageFit { .padded }
}

/// An image encoder that can be left half way, where its features are still fine: HQ-SAM's decoder draws on them.
package protocol StagedImageEncoder: ImageEncoder {
  /// E, the channels of early features.
  var earlyWidth: Int { get }
  /// - Parameter input: `[S, S, 3]`, normalised and padded.
  /// - Returns: early features `[h, w, E]`.
  func early(_ input: Tensor) -> Tensor
  /// - Parameter early: `[h, w, E]`.
  /// - Returns: the image embedding `[h, w, C]`.
  func late(_ early: Tensor) -> Tensor
}

extension StagedImageEncoder {
  package func callAsFunction(_ input: Tensor) -> Tensor { late(early(input)) }
}

/// Bounds on what a checkpoint may claim, far above any published SAM; they keep a hostile file from asking for
/// unbounded memory.
enum EncoderLimits {
  static let imageSize = 4096
  static let window = 64
}

/// A 1×1 and a 3×3 convolution, each with a LayerNorm: every encoder ends in it. Source: `image_encoder.py`, `self.neck`.
struct Neck: Sendable {
  let project: Conv2d
  let norm1: LayerNorm
  let mix: Conv2d
  let norm2: LayerNorm

  init(_ scope: WeightScope, inputs: Int, outputs: Int) throws(CheckpointError) {
    project = try Conv2d(scope[0], inputs: inputs, outputs: outputs, kernel: 1, bias: false)
    norm1 = try LayerNorm(scope[1], channels: outputs, epsilon: 1e-6)
    mix = try Conv2d(scope[2], inputs: outputs, outputs: outputs, kernel: 3, padding: 1, bias: false)
    norm2 = try LayerNorm(scope[3], channels: outputs, epsilon: 1e-6)
  }

  /// `[h, w, in]` → `[h, w, out]`.
  func callAsFunction(_ x: Tensor) -> Tensor { norm2(mix(norm1(project(x)))) }
}

extension WeightScope {
  /// Whether no tensor's name begins here.
  var isEmpty: Bool { !checkpoint.keys.contains { $0.hasPrefix(prefix) } }

  /// How many numbered children a list has, at least 1: one more than the highest number any tensor has. A gap is then
  /// found as the missing tensor that it is, instead of ending the list.
  func listCount() -> Int {
    let highest = checkpoint.keys.lazy.compactMap { key -> Int? in
      guard key.hasPrefix(prefix) else { return nil }
      return key.dropFirst(prefix.count).split(separator: ".", maxSplits: 1).first.flatMap { Int($0) }
    }.max()
    guard let highest, highest >= 0, highest < Int.max else { return 1 }
    return highest + 1
  }

  /// The error for a tensor whose shape makes no model.
  func malformed(_ name: String, _ reason: String) -> CheckpointError {
    .malformed(path: checkpoint.path, reason: "tensor '\(prefix)\(name)' \(reason)")
  }
}
