import Foundation

/// A file that comes to its name only when it is whole: written beside it under another, brought to the disk, renamed.
final class OutputFile {
  let path: String
  /// Where it lies until it is whole.
  let temporary: String
  private(set) var count = 0
  private let descriptor: Int32
  private var isCommitted = false

  init(path: String) throws(CheckpointError) {
    self.path = path
    temporary = "\(path).\(getpid()).partial"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .cannotWrite(path: path, reason: String(cString: strerror(errno))) }
  }

  deinit {
    close(descriptor)
    if !isCommitted { unlink(temporary) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    var rest = bytes
    while !rest.isEmpty {
      // Foundation is imported as a whole, so that the function of this name is the system's.
      let written = Foundation.write(descriptor, rest.baseAddress, rest.count)
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw failure() }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
    count += bytes.count
  }

  func write(_ bytes: [UInt8]) throws(CheckpointError) {
    do {
      try bytes.withUnsafeBytes { try write($0) }
    } catch let error as CheckpointError {
      throw error
    } catch {
      throw .cannotWrite(path: path, reason: error.localizedDescription)
    }
  }

  /// Brings what was written to the disk.
  func synchronize() throws(CheckpointError) { guard fsync(descriptor) == 0 else { throw failure() } }

  /// Gives the file its name; what had it before is replaced.
  func commit() throws(CheckpointError) {
    guard rename(temporary, path) == 0 else { throw failure() }
    isCommitted = true
    // The name, too, is only on the disk when its folder is. Not every system lets folders be opened for that.
    let folder = open((path as NSString).deletingLastPathComponent.isEmpty ? "." : parent, O_RDONLY | O_CLOEXEC)
    guard folder >= 0 else { return }
    _ = fsync(folder)
    close(folder)
  }

  private var parent: String { (path as NSString).deletingLastPathComponent }

  private func failure() -> CheckpointError { .cannotWrite(path: path, reason: String(cString: strerror(errno))) }
}
