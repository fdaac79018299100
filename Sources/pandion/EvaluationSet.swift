import Foundation
import Imaging
import Masks

/// A folder of pictures with one COCO-style `annotations.json`: `images` and `annotations` whose `segmentation` is an RLE,
/// with `category`, `caption` and, for parts, `parent`.
struct EvaluationSet {
  struct Picture {
    let fileName: String
    var instances: [Instance] = []
  }

  struct Instance {
    /// A line of text can stand for 64 Mi pixels, so masks are unrolled one at a time.
    let runs: RunLengthEncoding
    let caption: String
    let category: String
    /// Whether it belongs to another instance.
    let isPart: Bool
    /// Whether its kind of shape was kept out of training.
    let isUnseen: Bool

    var mask: BitMask { runs.bitMask() }
  }

  private static let fileLimit = 1 << 28

  private(set) var pictures: [Picture]

  init(folder: String) throws {
    let path = "\(folder)/annotations.json"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw EvaluationError.unreadable(path, "no such file")
    }
    guard data.count <= Self.fileLimit else { throw EvaluationError.unreadable(path, "larger than 256 MiB") }
    let file: File
    do {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      file = try decoder.decode(File.self, from: data)
    } catch { throw EvaluationError.unreadable(path, String(describing: error)) }
    var order: [Int: Int] = [:]
    pictures = []
    for image in file.images {
      guard !image.fileName.hasPrefix("/"), !image.fileName.contains("..") else {
        throw EvaluationError.unreadable(path, "the picture '\(image.fileName)' lies outside the folder")
      }
      order[image.id] = pictures.count
      pictures.append(Picture(fileName: image.fileName))
    }
    for annotation in file.annotations {
      guard let index = order[annotation.imageId] else {
        throw EvaluationError.unreadable(path, "annotation \(annotation.id) names no picture")
      }
      let size = annotation.segmentation.size
      guard size.count == 2 else { throw EvaluationError.unreadable(path, "annotation \(annotation.id) has no size") }
      let runs = try RunLengthEncoding(height: size[0], width: size[1], compressed: annotation.segmentation.counts)
      pictures[index].instances.append(
        Instance(
          runs: runs, caption: annotation.caption ?? annotation.category, category: annotation.category,
          isPart: annotation.parent != nil,
          isUnseen: annotation.unseen ?? false))
    }
  }

  private struct File: Decodable {
    struct Picture: Decodable {
      var id: Int
      var fileName: String
    }
    struct Annotation: Decodable {
      struct Segmentation: Decodable {
        var size: [Int]
        var counts: String
      }
      var id: Int
      var imageId: Int
      var segmentation: Segmentation
      var category: String
      var caption: String?
      var parent: Int?
      var unseen: Bool?
    }
    var images: [Picture]
    var annotations: [Annotation]
  }
}

/// What can be wrong with a folder of ground truth.
enum EvaluationError: Error, CustomStringConvertible {
  case unreadable(String, String)

  var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path): \(reason)"
    }
  }
}
