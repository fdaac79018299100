import Imaging
import Masks

/// A part of the picture that is looked at on its own, in whole source pixels; x1 and y1 are one past the last.
struct CropBox: Sendable, Equatable {
  let x0: Int
  let y0: Int
  let x1: Int
  let y1: Int

  var width: Int { x1 - x0 }
  var height: Int { y1 - y0 }
  var area: Int { width * height }

  /// The whole picture, then each layer's crops with x in the outer loop. Source: `amg.py`, `generate_crop_boxes`.
  static func all(width: Int, height: Int, layers: Int, overlapRatio: Double) -> [(box: CropBox, layer: Int)] {
    var boxes = [(box: CropBox(x0: 0, y0: 0, x1: width, y1: height), layer: 0)]
    for layer in 0..<layers {
      let count = 1 << (layer + 1)
      let overlap = Int(overlapRatio * Double(min(width, height)) * (2 / Double(count)))
      func length(_ whole: Int) -> Int { (overlap * (count - 1) + whole + count - 1) / count }
      let (cropWidth, cropHeight) = (length(width), length(height))
      for i in 0..<count {
        for j in 0..<count {
          let (x0, y0) = ((cropWidth - overlap) * i, (cropHeight - overlap) * j)
          // A picture of a few pixels has fewer crops than that.
          guard x0 < width, y0 < height else { continue }
          let box = CropBox(x0: x0, y0: y0, x1: min(x0 + cropWidth, width), y1: min(y0 + cropHeight, height))
          boxes.append((box, layer + 1))
        }
      }
    }
    return boxes
  }

  /// Whether a box, in the picture's pixels, comes within 20 pixels of an edge of this crop that is no edge of the
  /// picture: its object is likely cut off. Source: `amg.py`, `is_box_near_crop_edge`.
  func cutsOff(_ box: Box<SourceFrame>, width: Int, height: Int) -> Bool {
    let tolerance: Float = 20
    let edges = [
      (box.x0, x0, 0), (box.y0, y0, 0), (box.x1, x1, width), (box.y1, y1, height),
    ]
    return edges.contains { side, crop, picture in
      abs(side - Float(crop)) <= tolerance && abs(side - Float(picture)) > tolerance
    }
  }
}

extension Image {
  /// The pixels of a crop that lies inside the picture.
  func cropped(to box: CropBox) -> Image {
    if box.width == width && box.height == height { return self }
    var part: [UInt8] = []
    part.reserveCapacity(box.area * 3)
    for y in box.y0..<box.y1 {
      let start = (y * width + box.x0) * 3
      part.append(contentsOf: pixels[start..<start + box.width * 3])
    }
    return Image(width: box.width, height: box.height, pixels: part)
  }
}

extension BitMask {
  /// This mask of a crop, in the whole picture. Source: `amg.py`, `uncrop_masks`.
  func uncropped(from box: CropBox, width: Int, height: Int) -> BitMask {
    if box.width == width && box.height == height { return self }
    var whole = BitMask(width: width, height: height)
    for y in 0..<box.height {
      let start = (box.y0 + y) * width + box.x0
      whole.bits.replaceSubrange(start..<start + box.width, with: bits[y * box.width..<(y + 1) * box.width])
    }
    return whole
  }
}
