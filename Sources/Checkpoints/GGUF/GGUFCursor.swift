/// Reads the head of a GGUF file from front to back; every length is compared with what is left before it is believed.
struct GGUFCursor {
  let bytes: UnsafeRawBufferPointer
  let path: String
  private(set) var position: Int

  init(_ bytes: UnsafeRawBufferPointer, from position: Int, path: String) {
    (self.bytes, self.position, self.path) = (bytes, position, path)
  }

  var left: Int { bytes.count - position }

  mutating func integer<T: FixedWidthInteger>(_: T.Type) throws(CheckpointError) -> T {
    let size = MemoryLayout<T>.size
    guard left >= size else { throw .truncated(path: path, expected: position + size, actual: bytes.count) }
    defer { position += size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  /// A length or a count; what no `Int` holds becomes the largest.
  mutating func count() throws(CheckpointError) -> Int { Int(clamping: try integer(UInt64.self)) }

  /// A name: a length and its bytes.
  mutating func name(_ what: String, atMost limit: Int) throws(CheckpointError) -> String {
    let length = try count()
    guard length <= limit else { throw .tooMuch(path: path, what: "bytes in \(what)", limit: limit) }
    guard length <= left else { throw .truncated(path: path, expected: position + length, actual: bytes.count) }
    defer { position += length }
    return String(decoding: bytes[position..<position + length], as: UTF8.self)
  }

  /// Passes over a value.
  ///
  /// - Returns: where it lies.
  mutating func value(of key: String, _ type: GGUFType, count: Int) throws(CheckpointError) -> Range<Int> {
    let start = position
    if let size = type.size {
      try skip(count > left / size ? left + 1 : count * size, needed: count, "values of \(size) bytes", key)
    } else {
      guard count <= left / 8 else { throw short(key, needed: "\(count) strings") }
      for _ in 0..<count {
        guard left >= 8 else { throw short(key, needed: "a string's length") }
        let length = try self.count()
        try skip(length, needed: length, "bytes of a string", key)
      }
    }
    return start..<position
  }

  private mutating func skip(
    _ length: Int, needed: Int, _ what: String, _ key: String
  ) throws(CheckpointError) {
    guard length <= left else { throw short(key, needed: "\(needed) \(what)") }
    position += length
  }

  private func short(_ key: String, needed: String) -> CheckpointError {
    .wrongValue(path: path, key: key, expected: needed, found: "\(left) bytes to the end of the file")
  }
}
