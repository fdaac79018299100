/// The directory of a zip archive whose entries are stored, not compressed, as torch writes them; Zip64 included.
///
/// Source: PKWARE's APPNOTE, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14–16 (its ends).
struct ZipArchive {
  /// Where each entry's bytes lie in the file.
  let entries: [String: Range<Int>]

  private static let entryLimit = 1 << 16
  /// In bytes.
  private static let directoryLimit = 1 << 24
  private static let localHeader: UInt32 = 0x0403_4b50
  private static let centralHeader: UInt32 = 0x0201_4b50
  private static let endOfDirectory: UInt32 = 0x0605_4b50
  private static let zip64Locator: UInt32 = 0x0706_4b50
  private static let zip64End: UInt32 = 0x0606_4b50

  static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count >= 22 && UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) == localHeader
  }

  init(_ file: MappedFile) throws(CheckpointError) {
    let path = file.path
    let reader = ByteReader(bytes: file.bytes, path: path)
    let (start, count) = try Self.directory(reader)
    guard count <= Self.entryLimit else {
      throw .tooMuch(path: path, what: "entries in its archive", limit: Self.entryLimit)
    }
    var entries: [String: Range<Int>] = [:]
    var position = start
    let limit = start + Self.directoryLimit
    for _ in 0..<count {
      guard try reader.uint32(position) == Self.centralHeader else {
        throw .malformed(path: path, reason: "its zip directory is damaged at byte \(position)")
      }
      guard position < limit else {
        throw .tooMuch(path: path, what: "bytes in its zip directory", limit: Self.directoryLimit)
      }
      let method = try reader.uint16(position + 10)
      var packed = Int(try reader.uint32(position + 20))
      var size = Int(try reader.uint32(position + 24))
      let (nameLength, extraLength, commentLength) = (
        Int(try reader.uint16(position + 28)), Int(try reader.uint16(position + 30)),
        Int(try reader.uint16(position + 32))
      )
      var local = Int(try reader.uint32(position + 42))
      let name = try reader.string(position + 46, length: nameLength)
      try Self.readZip64(
        reader, extra: position + 46 + nameLength, length: extraLength, size: &size, packed: &packed, local: &local)
      position += 46 + nameLength + extraLength + commentLength
      guard method == 0, packed == size else { throw .compressed(path: path, entry: name) }
      guard try reader.uint32(local) == Self.localHeader else {
        throw .malformed(path: path, reason: "its entry '\(name)' has no local header at byte \(local)")
      }
      let data = local + 30 + Int(try reader.uint16(local + 26)) + Int(try reader.uint16(local + 28))
      guard size <= file.bytes.count, data <= file.bytes.count - size else {
        throw .truncated(path: path, expected: data &+ size, actual: file.bytes.count)
      }
      guard entries.updateValue(data..<data + size, forKey: name) == nil else {
        throw .duplicateName(path: path, name: name)
      }
    }
    try Self.checkLayout(entries, directory: start, path: path)
    self.entries = entries
  }

  /// Entries lie apart from each other and before the directory.
  private static func checkLayout(
    _ entries: [String: Range<Int>], directory: Int, path: String
  ) throws(CheckpointError) {
    var (end, last) = (0, "")
    let order = entries.filter { !$0.value.isEmpty }
      .sorted { ($0.value.lowerBound, $0.key) < ($1.value.lowerBound, $1.key) }
    for (name, range) in order {
      guard range.lowerBound >= end else { throw .overlapping(path: path, first: last, second: name) }
      (end, last) = (range.upperBound, name)
    }
    guard end <= directory else { throw .overlapping(path: path, first: last, second: "the zip directory") }
  }

  /// Finds the central directory from the end of the file: the offset of its first header and their number.
  private static func directory(_ reader: ByteReader) throws(CheckpointError) -> (start: Int, count: Int) {
    let size = reader.bytes.count
    // The end record is 22 bytes and a comment of at most 65,535.
    var end = size - 22
    while end >= max(0, size - 22 - 0xffff) {
      if try reader.uint32(end) == endOfDirectory { break }
      end -= 1
    }
    guard end >= max(0, size - 22 - 0xffff) else {
      // It ends every archive: the file is cut short.
      throw .truncated(path: reader.path, expected: size + 22, actual: size)
    }
    var count = Int(try reader.uint16(end + 10))
    var start = Int(try reader.uint32(end + 16))
    if count == 0xffff || start == 0xffff_ffff, end >= 20, try reader.uint32(end - 20) == zip64Locator {
      let record = try reader.int64(end - 20 + 8)
      guard try reader.uint32(record) == zip64End else {
        throw .malformed(path: reader.path, reason: "its Zip64 directory is damaged")
      }
      count = try reader.int64(record + 32)
      start = try reader.int64(record + 48)
    }
    return (start, count)
  }

  /// Replaces the values that did not fit 32 bits by those of the extra field 1.
  private static func readZip64(
    _ reader: ByteReader, extra: Int, length: Int, size: inout Int, packed: inout Int, local: inout Int
  ) throws(CheckpointError) {
    var position = extra
    while position + 4 <= extra + length {
      let (kind, fieldLength) = (try reader.uint16(position), Int(try reader.uint16(position + 2)))
      if kind == 1 {
        var field = position + 4
        for target in [(size == 0xffff_ffff, 0), (packed == 0xffff_ffff, 1), (local == 0xffff_ffff, 2)] where target.0 {
          let value = try reader.int64(field)
          switch target.1 {
          case 0: size = value
          case 1: packed = value
          default: local = value
          }
          field += 8
        }
      }
      position += 4 + fieldLength
    }
  }
}

/// Little-endian numbers at any offset; outside the file is an error, not a trap.
struct ByteReader {
  let bytes: UnsafeRawBufferPointer
  let path: String

  private func check(_ offset: Int, _ size: Int) throws(CheckpointError) {
    guard offset >= 0, size >= 0, size <= bytes.count, offset <= bytes.count - size else {
      throw .truncated(path: path, expected: offset &+ size, actual: bytes.count)
    }
  }

  func uint8(_ offset: Int) throws(CheckpointError) -> UInt8 {
    try check(offset, 1)
    return bytes[offset]
  }

  func uint16(_ offset: Int) throws(CheckpointError) -> UInt16 {
    try check(offset, 2)
    return UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  func uint32(_ offset: Int) throws(CheckpointError) -> UInt32 {
    try check(offset, 4)
    return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// A 64-bit length or offset; one past 2⁶⁰ points beyond the end of any file, and below it sums do not overflow.
  func int64(_ offset: Int) throws(CheckpointError) -> Int {
    try check(offset, 8)
    let value = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    guard let result = Int(exactly: value), result <= 1 << 60 else {
      throw .truncated(path: path, expected: Int(clamping: value), actual: bytes.count)
    }
    return result
  }

  func string(_ offset: Int, length: Int) throws(CheckpointError) -> String {
    try check(offset, length)
    return String(decoding: bytes[offset..<offset + length], as: UTF8.self)
  }
}
