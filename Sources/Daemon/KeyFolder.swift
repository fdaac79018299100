import Foundation
import ZeroMQ

/// A folder with the daemon's key, `server.key` and `server.pub`, and `authorised/NAME.pub` for each client that may come in,
/// `workers/NAME.pub` for each worker.
public struct KeyFolder: Sendable, Equatable {
  public let path: String
  /// Who comes in with a key: they ask, or they do the work.
  public enum Guest: String, Sendable, CaseIterable {
    case client = "authorised"
    case worker = "workers"
  }

  private func folder(_ guest: Guest) -> String { "\(path)/\(guest.rawValue)" }

  public init(path: String) { self.path = path }

  /// Makes the folder and the daemon's keys; those that are there stay.
  ///
  /// - Returns: the daemon's public key, in Z85, which clients need.
  public func makeServerKeys() throws(DaemonError) -> String {
    for folder in [path] + Guest.allCases.map({ folder($0) }) where mkdir(folder, 0o700) != 0 && errno != EEXIST {
      throw .keys(path: folder, reason: String(cString: strerror(errno)))
    }
    if access("\(path)/server.key", F_OK) == 0 { return try serverKeys().publicKey }
    let keys = try sockets { () throws(ZeroMQError) in try CurveKeyPair() }
    try Self.write(keys.secretKey, to: "\(path)/server.key", mode: 0o600)
    try Self.write(keys.publicKey, to: "\(path)/server.pub", mode: 0o644)
    return keys.publicKey
  }

  /// Makes a client's or a worker's keys: the secret goes into `file`, the public one among those authorised.
  public func makeClientKeys(name: String, file: String, as guest: Guest = .client) throws(DaemonError) {
    let isPlain = name.utf8.allSatisfy {
      ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A || $0 >= 0x30 && $0 <= 0x39 || $0 == 0x2D
    }
    guard isPlain, (1...64).contains(name.utf8.count) else {
      throw .keys(path: file, reason: "a client's name has 1…64 letters, digits and '-'")
    }
    let keys = try sockets { () throws(ZeroMQError) in try CurveKeyPair() }
    try Self.write(keys.secretKey, to: file, mode: 0o600)
    do {
      try Self.write(keys.publicKey, to: "\(folder(guest))/\(name).pub", mode: 0o644)
    } catch {
      // A secret that nobody knows of would look like one that is authorised.
      unlink(file)
      throw error
    }
  }

  /// The daemon's keys.
  public func serverKeys() throws(DaemonError) -> CurveKeyPair {
    let file = "\(path)/server.key"
    var status = stat()
    guard stat(file, &status) == 0 else { throw .keys(path: file, reason: String(cString: strerror(errno))) }
    guard status.st_mode & 0o077 == 0 else {
      throw .keys(path: file, reason: "others may read it; 'chmod 600 \(file)' keeps them out")
    }
    let text = try Self.key(inFile: file)
    return try sockets { () throws(ZeroMQError) in try CurveKeyPair(secretKey: text) }
  }

  /// A key as it lies in a file.
  static func key(inFile file: String) throws(DaemonError) -> String {
    guard let text = read(file) else {
      throw .keys(path: file, reason: "there is no such file, or it may not be read as text")
    }
    guard CurveKeyPair.bytes(text) != nil else {
      throw .keys(path: file, reason: "it holds no key of forty characters")
    }
    return text
  }

  /// Whether a client's public key, 32 bytes, is listed. Read anew each time, so a file that is taken away shuts its client
  /// out; a folder or a file that cannot be read lets nobody in.
  func isAuthorised(_ key: [UInt8], as guest: Guest = .client) -> Bool {
    let folder = folder(guest)
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
    return names.contains { name in
      guard name.hasSuffix(".pub"), let text = Self.read("\(folder)/\(name)") else { return false }
      return CurveKeyPair.bytes(text) == key
    }
  }

  /// A small file's text without the space around it.
  private static func read(_ path: String) -> String? {
    // Without O_NONBLOCK, opening a pipe would wait for a writer, and nobody else would come in meanwhile.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      let data = try? file.read(upToCount: 256)
    else { return nil }
    return String(data: data, encoding: .utf8)?.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Writes a file that was not there before, with its mode from the beginning.
  private static func write(_ text: String, to path: String, mode: mode_t) throws(DaemonError) {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL, mode)
    guard file >= 0 else { throw .keys(path: path, reason: String(cString: strerror(errno))) }
    let line = Array("\(text)\n".utf8)
    let count = Foundation.write(file, line, line.count)
    guard Foundation.close(file) == 0, count == line.count else {
      throw .keys(path: path, reason: "it cannot be written whole")
    }
  }
}
