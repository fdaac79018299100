import Crypto
import Foundation

/// Digests of files, in lower-case hexadecimal.
public enum FileDigest {
  /// The SHA-256 of a file.
  ///
  /// - Parameter progress: called with the bytes read so far.
  public static func sha256(path: String, progress: (Int) -> Void = { _ in }) throws(ModelError) -> String {
    var hash = SHA256()
    try read(path, progress: progress) { hash.update(bufferPointer: $0) }
    return hash.finalize().hexadecimal
  }

  /// The name that git gives a file's content: the SHA-1 of `blob`, its size and its bytes.
  public static func gitBlob(path: String) throws(ModelError) -> String {
    guard let size = FileManager.default.size(ofFileAt: path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    var hash = Insecure.SHA1()
    hash.update(data: Array("blob \(size)\0".utf8))
    try read(path) { hash.update(bufferPointer: $0) }
    return hash.finalize().hexadecimal
  }

  /// Reads a file in pieces, so that a large one takes no memory.
  private static func read(
    _ path: String, progress: (Int) -> Void = { _ in }, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(ModelError) {
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    defer { try? file.close() }
    var total = 0
    do {
      while let piece = try file.read(upToCount: 1 << 22), !piece.isEmpty {
        piece.withUnsafeBytes(body)
        total += piece.count
        progress(total)
      }
    } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
  }
}

extension ModelManifest.File {
  /// What the file's digest must be: its SHA-256, or else git's name for it; nil where neither is known.
  public var digest: String? { sha256 ?? gitBlob }

  /// The digest that a file has, of the kind that this one's is; SHA-256 where none is known.
  public func digest(ofFileAt path: String) throws(ModelError) -> String {
    sha256 == nil && gitBlob != nil ? try FileDigest.gitBlob(path: path) : try FileDigest.sha256(path: path)
  }
}

extension Digest {
  /// In lower case, two digits a byte.
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
