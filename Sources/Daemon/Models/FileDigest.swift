import Foundation

/// The SHA-256 of files and bytes, in lower-case hexadecimal.
public enum FileDigest {
  public static func sha256(_ bytes: some ContiguousBytes) -> String {
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.update($0) }
    return hash.hexadecimal()
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
        piece.withUnsafeBytes { hash.update($0) }
        total += piece.count
        progress(total)
      }
    } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
    return hash.hexadecimal()
  }
}
