/// A reader for the pickles that torch writes. It knows the few classes and functions that tensors need, refuses every other
/// by name, and runs nothing.
///
/// Each opcode makes at most one value and none is copied whole, so memory is bounded by the number of opcodes and the
/// pickle's length; both are limited. Source: CPython's `pickletools`.
struct Unpickler {
  private let reader: ByteReader
  private let arena = PickleArena()
  private var position: Int
  private let end: Int
  private let fence: Int
  private var opcodes = 0
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]

  /// The longest pickle that is read, and the most opcodes: a checkpoint has some hundred bytes and forty opcodes a tensor.
  static let lengthLimit = 1 << 24
  static let opcodeLimit = 1 << 20

  init(_ file: MappedFile, range: Range<Int>) {
    reader = ByteReader(bytes: file.bytes, path: file.path)
    position = range.lowerBound
    end = range.upperBound
    fence = min(end, position + Self.lengthLimit)
  }

  /// Where the last pickle ended, for files that hold several.
  var consumed: Int { position }

  /// Reads one pickle, up to STOP. Several in a row share the limits.
  mutating func load() throws(CheckpointError) -> Pickle {
    (stack, marks, memo) = ([], [], [:])
    let root = try run()
    (stack, marks, memo) = ([], [], [:])
    return Pickle(root: root, arena: arena)
  }

  private mutating func run() throws(CheckpointError) -> PickleValue {
    while true {
      let at = position
      let opcode = try byte()
      opcodes += 1
      guard opcodes <= Self.opcodeLimit else {
        throw .tooMuch(path: reader.path, what: "opcodes in its pickle", limit: Self.opcodeLimit)
      }
      switch opcode {
      case 0x80: _ = try byte()  // PROTO
      case 0x95: _ = try take(8)  // FRAME
      case UInt8(ascii: "."): return try pop()
      case UInt8(ascii: "("): marks.append(stack.count)
      case UInt8(ascii: "0"): _ = try pop()
      case UInt8(ascii: "1"): _ = try popMark()
      case UInt8(ascii: "2"): stack.append(try top())
      case UInt8(ascii: "N"): stack.append(.none)
      case 0x88: stack.append(.bool(true))
      case 0x89: stack.append(.bool(false))
      case UInt8(ascii: "J"): stack.append(.int(Int(Int32(bitPattern: try uint32()))))
      case UInt8(ascii: "K"): stack.append(.int(Int(try byte())))
      case UInt8(ascii: "M"): stack.append(.int(Int(try reader.uint16(take(2)))))
      case 0x8a: stack.append(try long(Int(try byte())))
      case 0x8b: stack.append(try long(Int(try uint32())))
      case UInt8(ascii: "G"): stack.append(.float(try double()))
      case UInt8(ascii: "X"), UInt8(ascii: "T"): stack.append(.string(try text(Int(try uint32()))))
      case 0x8c, UInt8(ascii: "U"): stack.append(.string(try text(Int(try byte()))))
      case 0x8d: stack.append(.string(try text(try reader.int64(take(8)))))
      case UInt8(ascii: "B"): stack.append(try bytes(Int(try uint32())))
      case UInt8(ascii: "C"): stack.append(try bytes(Int(try byte())))
      case UInt8(ascii: ")"): stack.append(.tuple(arena.list()))
      case 0x85...0x87: stack.append(.tuple(arena.list(try popLast(Int(opcode) - 0x84))))
      case UInt8(ascii: "t"): stack.append(.tuple(arena.list(try popMark())))
      case UInt8(ascii: "]"), 0x8f: stack.append(.list(arena.list()))  // and EMPTY_SET
      case UInt8(ascii: "}"): stack.append(.dictionary(arena.dictionary()))
      case UInt8(ascii: "l"): stack.append(.list(arena.list(try popMark())))
      case UInt8(ascii: "d"):
        let dictionary = arena.dictionary()
        try Self.fill(dictionary, try popMark(), path: reader.path)
        stack.append(.dictionary(dictionary))
      case UInt8(ascii: "a"):
        let item = try pop()
        try append([item])
      case UInt8(ascii: "e"), 0x90:
        let items = try popMark()
        try append(items)
      case UInt8(ascii: "s"):
        let items = try popLast(2)
        try setItems(items)
      case UInt8(ascii: "u"):
        let items = try popMark()
        try setItems(items)
      case UInt8(ascii: "q"): memo[Int(try byte())] = try top()
      case UInt8(ascii: "r"): memo[Int(try uint32())] = try top()
      case 0x94: memo[memo.count] = try top()
      case UInt8(ascii: "h"): stack.append(try recall(Int(try byte())))
      case UInt8(ascii: "j"): stack.append(try recall(Int(try uint32())))
      case UInt8(ascii: "c"): stack.append(try global(module: line(), name: line()))
      case 0x93:
        guard case .string(let name) = try pop(), case .string(let module) = try pop() else { throw wrong(at) }
        stack.append(try global(module: module, name: name))
      case UInt8(ascii: "R"), 0x81:  // REDUCE, NEWOBJ
        guard case .tuple(let arguments) = try pop() else { throw wrong(at) }
        stack.append(try TorchGlobals.call(try pop(), arguments.items, arena: arena, path: reader.path))
      case UInt8(ascii: "b"): _ = try pop()  // BUILD: attributes of an object; tensors need none
      case UInt8(ascii: "Q"): stack.append(.storage(try TorchGlobals.storage(pop(), path: reader.path)))
      default:
        throw .malformed(path: reader.path, reason: "its pickle has the opcode \(opcode) at byte \(at)")
      }
    }
  }

  // MARK: the stack

  private func wrong(_ at: Int) -> CheckpointError {
    .malformed(path: reader.path, reason: "its pickle is inconsistent at byte \(at)")
  }

  private func top() throws(CheckpointError) -> PickleValue {
    guard let last = stack.last, stack.count > (marks.last ?? 0) else { throw wrong(position) }
    return last
  }

  private mutating func pop() throws(CheckpointError) -> PickleValue {
    guard stack.count > (marks.last ?? 0), let last = stack.popLast() else { throw wrong(position) }
    return last
  }

  private mutating func popLast(_ count: Int) throws(CheckpointError) -> [PickleValue] {
    guard stack.count - (marks.last ?? 0) >= count else { throw wrong(position) }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popMark() throws(CheckpointError) -> [PickleValue] {
    guard let mark = marks.popLast() else { throw wrong(position) }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private func recall(_ index: Int) throws(CheckpointError) -> PickleValue {
    guard let value = memo[index] else { throw wrong(position) }
    return value
  }

  private func append(_ items: [PickleValue]) throws(CheckpointError) {
    guard case .list(let list) = try top() else { throw wrong(position) }
    list.items += items
  }

  private func setItems(_ items: [PickleValue]) throws(CheckpointError) {
    switch try top() {
    case .dictionary(let dictionary): try Self.fill(dictionary, items, path: reader.path)
    case .opaque: break
    default: throw wrong(position)
    }
  }

  private static func fill(
    _ dictionary: PickleDictionary, _ items: [PickleValue], path: String
  ) throws(CheckpointError) {
    guard items.count % 2 == 0 else { throw .malformed(path: path, reason: "its pickle has a key without a value") }
    for i in stride(from: 0, to: items.count, by: 2) { dictionary.items.append((items[i], items[i + 1])) }
  }

  private func global(module: String, name: String) throws(CheckpointError) -> PickleValue {
    let known = 64
    guard module.utf8.count <= known, name.utf8.count <= known, TorchGlobals.isKnown("\(module).\(name)") else {
      throw .forbiddenGlobal(path: reader.path, name: "\(module.prefix(known)).\(name.prefix(known))")
    }
    return .global("\(module).\(name)")
  }

  // MARK: bytes

  private mutating func take(_ count: Int) throws(CheckpointError) -> Int {
    guard count >= 0, count <= fence - position else {
      if fence < end { throw .tooMuch(path: reader.path, what: "bytes in its pickle", limit: Self.lengthLimit) }
      if end < reader.bytes.count {
        throw .malformed(path: reader.path, reason: "its pickle ends in the middle of a value")
      }
      throw .truncated(path: reader.path, expected: position &+ count, actual: end)
    }
    defer { position += count }
    return position
  }

  private mutating func byte() throws(CheckpointError) -> UInt8 { try reader.uint8(take(1)) }
  private mutating func uint32() throws(CheckpointError) -> UInt32 { try reader.uint32(take(4)) }
  private mutating func text(_ count: Int) throws(CheckpointError) -> String {
    try reader.string(take(count), length: count)
  }

  /// Bytes, which no tensor needs: they are passed over.
  private mutating func bytes(_ count: Int) throws(CheckpointError) -> PickleValue {
    _ = try take(count)
    return .opaque
  }

  /// A big-endian double.
  private mutating func double() throws(CheckpointError) -> Double {
    let start = try take(8)
    return Double(bitPattern: UInt64(bigEndian: reader.bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)))
  }

  /// A little-endian two's complement integer of any length; what does not fit an `Int` is of no use to tensors.
  private mutating func long(_ count: Int) throws(CheckpointError) -> PickleValue {
    let start = try take(count)
    guard count <= 8 else { return .opaque }
    var value: UInt64 = 0
    for i in 0..<count { value |= UInt64(reader.bytes[start + i]) << UInt64(8 * i) }
    if count > 0, count < 8, reader.bytes[start + count - 1] >= 0x80 { value |= ~UInt64(0) << UInt64(8 * count) }
    return .int(Int(Int64(bitPattern: value)))
  }

  /// Text up to a newline, for the names of globals.
  private mutating func line() throws(CheckpointError) -> String {
    var length = 0
    while position + length < end, reader.bytes[position + length] != UInt8(ascii: "\n"), length < 1024 { length += 1 }
    let result = try text(length)
    _ = try take(1)
    return result
  }
}
