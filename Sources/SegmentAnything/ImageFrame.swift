import Imaging
import Masks
import Tensors

/// How a picture lies in a model's square input: scaled so that its longest side fills it, then padded right and bottom.
/// Source: `segment_anything/utils/transforms.py`, `ResizeLongestSide`.
package struct ImageFrame: Sendable, Equatable {
  /// The side of the model's input, S.
  package let imageSize: Int
  /// The picture as it came, in source pixels.
  package let sourceWidth: Int
  package let sourceHeight: Int
  /// The picture as scaled, before padding.
  package let inputWidth: Int
  package let inputHeight: Int

  package init(imageSize: Int, sourceWidth: Int, sourceHeight: Int) {
    precondition(imageSize > 0 && sourceWidth > 0 && sourceHeight > 0)
    (self.imageSize, self.sourceWidth, self.sourceHeight) = (imageSize, sourceWidth, sourceHeight)
    let scale = Double(imageSize) / Double(max(sourceWidth, sourceHeight))
    // A sliver of a picture keeps one row, where the reference would be left with none and fail.
    inputWidth = max(Int(Double(sourceWidth) * scale + 0.5), 1)
    inputHeight = max(Int(Double(sourceHeight) * scale + 0.5), 1)
  }

  /// A position in source pixels, in the model's frame: each axis by its own new size over the old.
  func model(x: Double, y: Double) -> Point<ModelFrame> {
    Point(
      x: Float(x * (Double(inputWidth) / Double(sourceWidth))),
      y: Float(y * (Double(inputHeight) / Double(sourceHeight))))
  }

  func model(_ point: Point<SourceFrame>) -> Point<ModelFrame> { model(x: Double(point.x), y: Double(point.y)) }

  /// The model's input for a picture of this frame: resized as PIL does it, normalised, and only then padded with zeros.
  ///
  /// - Returns: `[S, S, 3]`.
  func input(_ image: Image, mean: [Float], std: [Float]) -> Tensor {
    precondition(image.width == sourceWidth && image.height == sourceHeight)
    let scaled =
      inputWidth == sourceWidth && inputHeight == sourceHeight
      ? image : image.resized(width: inputWidth, height: inputHeight, filter: .bilinear)
    let side = imageSize
    return Tensor([side, side, 3]) { out in
      out.initialize(repeating: 0)
      scaled.pixels.withUnsafeBufferPointer { pixels in
        for y in 0..<inputHeight {
          for x in 0..<inputWidth {
            let (from, to) = ((y * inputWidth + x) * 3, (y * side + x) * 3)
            for c in 0..<3 { out[to + c] = (Float(pixels[from + c]) - mean[c]) / std[c] }
          }
        }
      }
    }
  }
}
