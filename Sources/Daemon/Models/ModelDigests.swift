import Foundation
import Synchronization

/// The SHA-256 of a model's files. Those that nobody told are computed beside the work when they are large: a 7B's take
/// seconds, which nobody should wait for before the first answer.
public final class ModelDigests: Sendable {
  private let digests: Mutex<[(path: String, sha256: String)]>
  /// Files up to this size together are read before the model serves.
  private static let promptly = 1 << 26

  /// - Parameters:
  ///   - told: by a manifest.
  ///   - unknown: paths of files that nobody told about; they are known by their names.
  public init(_ told: [(path: String, sha256: String)] = [], unknown: [String] = []) {
    digests = Mutex(told)
    let bytes = unknown.reduce(0) { $0 + (FileManager.default.size(ofFileAt: $1) ?? 0) }
    if bytes <= Self.promptly {
      compute(unknown)
    } else {
      DispatchQueue.global(qos: .utility).async { self.compute(unknown) }
    }
  }

  /// Those that are known by now.
  public var known: [(path: String, sha256: String)] { digests.withLock { $0 } }

  /// A file that has gone since the model was loaded has no digest any more.
  private func compute(_ paths: [String]) {
    for path in paths {
      guard let digest = try? FileDigest.sha256(path: path) else { continue }
      digests.withLock { $0.append((URL(fileURLWithPath: path).lastPathComponent, digest)) }
    }
  }
}
