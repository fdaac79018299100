import Imaging
import Tensors

/// From a picture to the vision trunk's input, as Osprey's demo does it [demo/osprey_inference.py]: the shorter side to S
/// by PIL's bicubic, no crop, CLIP's mean and deviation, then torch's bilinear to S×S, which squashes the aspect.
public struct ImagePreprocessor: Sendable {
  /// S, 512 in the original.
  public let size: Int
  public let mean: [Float]
  public let deviation: [Float]

  public static let clipMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
  public static let clipDeviation: [Float] = [0.26862954, 0.26130258, 0.27577711]

  public init(size: Int = 512, mean: [Float] = clipMean, deviation: [Float] = clipDeviation) {
    precondition(size >= 32 && size % 32 == 0 && mean.count == 3 && deviation.count == 3)
    (self.size, self.mean, self.deviation) = (size, mean, deviation)
  }

  /// More elongated pictures skip the step in between, whose size would grow with the aspect.
  private static let greatestAspect = 32

  /// - Returns: `[S, S, 3]`.
  func callAsFunction(_ image: Image) throws(OspreyError) -> Tensor {
    let (width, height) = (image.width, image.height)
    let (short, long) = (min(width, height), max(width, height))
    guard short > 0 else { throw .imageSize(width: width, height: height) }
    var (newWidth, newHeight) = (size, size)
    if long / short < Self.greatestAspect {
      let newLong = Int(Double(size * long) / Double(short))
      (newWidth, newHeight) = width <= height ? (size, newLong) : (newLong, size)
    }
    let resized = image.resized(width: newWidth, height: newHeight, filter: .bicubic)
    // One table a channel: 256 values are all there are.
    let tables = (0..<3).map { c in
      (0..<256).map { (Float(Double($0) * 0.00392156862745098) - mean[c]) / deviation[c] }
    }
    let normalized = Tensor([newHeight, newWidth, 3]) { out in
      for i in 0..<newWidth * newHeight {
        for c in 0..<3 { out[3 * i + c] = tables[c][Int(resized.pixels[3 * i + c])] }
      }
    }
    return normalized.resizedBilinear(height: size, width: size)
  }
}
