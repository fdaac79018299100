import Crypto
import Foundation

/// The SHA-256 of files and bytes, in lower-case hexadecimal.
public enum FileDigest {
  public static func sha256(_ bytes: some ContiguousBytes) -> String {
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
    return hex(hash.finalize())
  }

  /// Reads a file in pieces, so that a large one takes no memory.
  ///
  /// - Parameter progress: called with the bytes read so far.
  public static func sha256(path: String, progress: (Int) -> Void = { _ in }) throws(ModelError) -> String {
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    defer { try? file.close() }
    var hash = SHA256()
    var total = 0
    do {
      while let piece = try file.read(upToCount: 1 << 22), !piece.isEmpty {
        hash.update(data: piece)
        total += piece.count
        progress(total)
      }
    } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
    return hex(hash.finalize())
  }

  private static func hex(_ digest: SHA256.Digest) -> String {
    digest.map { byte in
      let text = String(byte, radix: 16)
      return text.count == 1 ? "0" + text : text
    }.joined()
  }
}
