import Foundation
import Osprey
import Tensors

/// `Models/NAME/model.json`: what a folder under `Models/` holds and how to load it.
///
/// Sizes that the tensors tell are not read from here; a manifest adds what they cannot tell, such as a TinyViT's input
/// side, and where the files come from.
public struct ModelManifest: Codable, Sendable, Equatable {
  public var name: String
  public var license: String?
  public var description: String?
  public var segmenter: Segmenter?
  public var labeler: Labeler?
  /// Every file the folder needs, with its digest where one is known.
  public var files: [File]
  /// Where the weights were published, for people.
  public var source: [String]?

  /// A Segment Anything checkpoint and its preprocessing.
  public struct Segmenter: Codable, Sendable, Equatable {
    public var file: String
    /// The side of the square input in pixels; SAM's ViT tells it by its tensors, a TinyViT does not.
    public var imageSize: Int?
    /// Per channel, on 0…255.
    public var pixelMean: [Float]?
    public var pixelStd: [Float]?
    /// What was measured to keep its masks (mean IoU with fp32's at least 0.99), fastest first.
    public var precisions: [Precision]?
  }

  /// An Osprey checkpoint with the files around it.
  public struct Labeler: Codable, Sendable, Equatable {
    public var file: String
    public var visionTower: String?
    public var tokenizer: String?
    public var config: String?
    /// The side of the square input in pixels.
    public var imageSize: Int?
    /// What was measured to keep its words, fastest first.
    public var precisions: [Precision]?
    /// How the words of a user's vocabulary are weighed; as `pandion eval --calibrate` fitted it.
    public var vocabularyCalibration: VocabularyCalibration?
  }

  /// One file of the folder.
  public struct File: Codable, Sendable, Equatable {
    public var path: String
    /// Lower-case hexadecimal; none where nobody published one.
    public var sha256: String?
    /// The name of its content in the git repository that publishes it, lower-case hexadecimal: as good where no SHA-256 is
    /// published.
    public var gitBlob: String?
    /// In bytes; none where nobody published it.
    public var size: Int?
    /// Where `pandion models fetch` brings it from; none for files in the repository.
    public var url: String?
  }

  /// Reads a manifest; the error names the file and the key that is wrong.
  public init(path: String) throws(ModelError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    guard data.count <= 1 << 20 else { throw .unreadable(path: path, reason: "a manifest has at most 1 MiB") }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(ModelManifest.self, from: data)
    } catch let error as DecodingError {
      throw .unreadable(path: path, reason: Self.explain(error))
    } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
    for file in files where file.path.hasPrefix("/") || file.path.split(separator: "/").contains("..") {
      throw .unreadable(path: path, reason: "the file '\(file.path)' lies outside the model's folder")
    }
    if let temperature = labeler?.vocabularyCalibration?.temperature, temperature <= 0 {
      throw .unreadable(
        path: path, reason: "'labeler.vocabulary_calibration.temperature' is \(temperature), it must be positive")
    }
  }

  private static func explain(_ error: DecodingError) -> String {
    func place(_ context: DecodingError.Context, _ last: String? = nil) -> String {
      (context.codingPath.map(\.stringValue) + (last.map { [$0] } ?? [])).joined(separator: ".")
    }
    return switch error {
    case .keyNotFound(let key, let context): "'\(place(context, key.stringValue))' is missing"
    case .typeMismatch(let type, let context): "'\(place(context))' is not of type \(type)"
    case .valueNotFound(_, let context): "'\(place(context))' is null"
    case .dataCorrupted(let context): "it is not JSON at '\(place(context))'"
    @unknown default: "it does not decode"
    }
  }
}
