import Imaging
import Masks
import Tensors

/// How a model wants a picture in its square input.
package enum ImageFit: Sendable {
  /// Scaled so that its longest side fills the square, then padded right and bottom. Source:
  /// `segment_anything/utils/transforms.py`, `ResizeLongestSide`.
  case padded
  /// Stretched to the square, whatever its proportions. Source: `efficient_sam.py`, `EfficientSam.preprocess`.
  case stretched
}

/// How a picture lies in a model's square input.
package struct ImageFrame: Sendable, Equatable {
  /// The side of the model's input, S.
  package let imageSize: Int
  package let fit: ImageFit
  /// The picture as it came, in source pixels.
  package let sourceWidth: Int
  package let sourceHeight: Int
  /// The picture as scaled, before padding.
  package let inputWidth: Int
  package let inputHeight: Int

  package init(imageSize: Int, fit: ImageFit = .padded, sourceWidth: Int, sourceHeight: Int) {
    precondition(imageSize > 0 && sourceWidth > 0 && sourceHeight > 0)
    (self.imageSize, self.fit) = (imageSize, fit)
    (self.sourceWidth, self.sourceHeight) = (sourceWidth, sourceHeight)
    guard fit == .padded else {
      (inputWidth, inputHeight) = (imageSize, imageSize)
      return
    }
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

  /// The model's input for a picture of this frame, normalised.
  ///
  /// - Returns: `[S, S, 3]`.
  func input(_ image: Image, mean: [Float], std: [Float]) -> Tensor {
    precondition(image.width == sourceWidth && image.height == sourceHeight)
    return switch fit {
    case .padded: padded(image, mean: mean, std: std)
    case .stretched: stretched(image, mean: mean, std: std)
    }
  }

  /// Resized as PIL does it, normalised, and only then padded with zeros.
  private func padded(_ image: Image, mean: [Float], std: [Float]) -> Tensor {
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

  /// Resized as `torch.nn.functional.interpolate(mode: "bilinear")` does it: in floating point, without antialiasing.
  private func stretched(_ image: Image, mean: [Float], std: [Float]) -> Tensor {
    let rows = BilinearTaps(from: sourceHeight, to: inputHeight)
    let columns = BilinearTaps(from: sourceWidth, to: inputWidth)
    return Tensor([inputHeight, inputWidth, 3]) { out in
      image.pixels.withUnsafeBufferPointer { pixels in
        for y in 0..<inputHeight {
          let (top, bottom, fy) = (rows.low[y] * sourceWidth, rows.high[y] * sourceWidth, rows.fraction[y])
          for x in 0..<inputWidth {
            let (left, right, fx) = (columns.low[x], columns.high[x], columns.fraction[x])
            for c in 0..<3 {
              func pixel(_ index: Int) -> Float { Float(pixels[3 * index + c]) }
              let above = (1 - fx) * pixel(top + left) + fx * pixel(top + right)
              let below = (1 - fx) * pixel(bottom + left) + fx * pixel(bottom + right)
              out[(y * inputWidth + x) * 3 + c] = ((1 - fy) * above + fy * below - mean[c]) / std[c]
            }
          }
        }
      }
    }
  }
}
