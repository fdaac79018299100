import Foundation
import Tensors

/// A whole file mapped read-only; pages come in when touched. Unmapped with the last reference.
package final class MappedFile: Refillable, @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeRawBufferPointer

  package init(path: String) throws(CheckpointError) {
    self.path = path
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw .cannotOpen(path: path, reason: String(cString: strerror(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .cannotOpen(path: path, reason: "not a regular file") }
    let size = Int(status.st_size)
    guard size > 0 else { throw .unrecognised(path: path, reason: "the file is empty") }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw .cannotOpen(path: path, reason: String(cString: strerror(errno)))
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  package func letGo(_ range: UnsafeRawBufferPointer) {
    guard let first = range.baseAddress, let base = bytes.baseAddress else { return }
    // Whole pages of the range, and of the mapping only.
    let page = Int(getpagesize())
    let start = (first - base + page - 1) / page * page
    let end = Swift.min(first - base + range.count, bytes.count) / page * page
    guard start >= 0, end > start else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
