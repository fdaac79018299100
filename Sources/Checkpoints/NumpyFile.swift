import Foundation
import Tensors

/// NumPy's `.npy` format, versions 1 to 3: a magic string, a header that is a Python dict literal, then the data.
///
/// Read: little-endian float32 and float64 in C order. Source: `numpy.lib.format`.
public enum NumpyFile {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  private static let headerLimit = 1 << 16

  /// - Returns: the array, its shape as stored.
  public static func read(_ path: String) throws(CheckpointError) -> Tensor {
    let file = try MappedFile(path: path)
    let bytes = file.bytes
    guard bytes.count >= 12, bytes.prefix(6).elementsEqual(magic) else {
      throw .unrecognised(path: path, reason: "it does not begin like a .npy file")
    }
    let isVersion1 = bytes[6] == 1
    let headerStart = isVersion1 ? 10 : 12
    let headerLength =
      isVersion1
      ? Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
      : Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    guard headerLength <= headerLimit else {
      throw .malformed(path: path, reason: "its header claims \(headerLength) bytes")
    }
    guard bytes.count >= headerStart + headerLength else {
      throw .truncated(path: path, expected: headerStart + headerLength, actual: bytes.count)
    }
    let header = String(decoding: bytes[headerStart..<headerStart + headerLength], as: UTF8.self)
    let size = try elementSize(header, path: path)
    let shape = try shape(header, path: path)
    let count = shape.reduce(1, *)
    let expected = headerStart + headerLength + count * size
    guard bytes.count >= expected else { throw .truncated(path: path, expected: expected, actual: bytes.count) }
    return Tensor(shape) { out in
      for i in 0..<count {
        let offset = headerStart + headerLength + i * size
        out[i] =
          size == 4
          ? bytes.loadUnaligned(fromByteOffset: offset, as: Float.self)
          : Float(bytes.loadUnaligned(fromByteOffset: offset, as: Double.self))
      }
    }
  }

  private static func elementSize(_ header: String, path: String) throws(CheckpointError) -> Int {
    guard header.contains("'fortran_order': False") else {
      throw .malformed(path: path, reason: "it is not in C order (use numpy.ascontiguousarray)")
    }
    if header.contains("'descr': '<f4'") { return 4 }
    if header.contains("'descr': '<f8'") { return 8 }
    throw .malformed(path: path, reason: "its numbers are neither '<f4' nor '<f8'")
  }

  private static func shape(_ header: String, path: String) throws(CheckpointError) -> [Int] {
    guard let key = header.range(of: "'shape': ("),
      let end = header[key.upperBound...].firstIndex(of: ")")
    else { throw .malformed(path: path, reason: "its header has no shape") }
    var shape: [Int] = []
    for part in header[key.upperBound..<end].split(separator: ",") {
      let text = part.trimmingCharacters(in: .whitespaces)
      if text.isEmpty { continue }
      guard let length = Int(text), length >= 0, length <= 1 << 20, shape.count < 8 else {
        throw .malformed(path: path, reason: "its shape has the length '\(text)'")
      }
      shape.append(length)
    }
    guard shape.reduce(1.0, { $0 * Double($1) }) <= Double(1 << 28) else {
      throw .malformed(path: path, reason: "its shape \(shape) is too large")
    }
    return shape
  }
}
