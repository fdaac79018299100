/// What can be wrong with a file of weights, naming the file and the tensor.
public enum CheckpointError: Error, Equatable, Sendable {
  case cannotOpen(path: String, reason: String)
  /// The file is no checkpoint of a kind this reader knows.
  case unrecognised(path: String, reason: String)
  /// Something in the file points beyond its end: it needs at least `expected` bytes.
  case truncated(path: String, expected: Int, actual: Int)
  case malformed(path: String, reason: String)
  case unsupportedType(path: String, tensor: String, type: String)
  /// A value of a file's metadata is not what its key needs.
  case wrongValue(path: String, key: String, expected: String, found: String)
  /// A tensor's bytes `begin..<end` are not all in the file, or in the part of it that is the tensor's.
  case outside(path: String, tensor: String, begin: Int, end: Int, size: Int)
  /// A tensor does not begin at a multiple of the file's alignment.
  case misaligned(path: String, tensor: String, offset: Int, alignment: Int)
  /// A row of numbers is no whole number of its type's blocks.
  case brokenBlocks(path: String, tensor: String, type: String, columns: Int, block: Int)
  /// A type cannot hold a number of a tensor that is to be written in it.
  case unrepresentable(path: String, tensor: String, value: Float, type: String)
  case cannotWrite(path: String, reason: String)
  /// What was read back of a file that was just written is not what was meant.
  case unverified(path: String, tensor: String)
  /// A tensor that was asked for by name is not there.
  case missing(key: String, path: String)
  /// A model needs the tensors `missing`, and no part of it reads those that are `unexpected`.
  case wrongTensors(path: String, missing: [String], unexpected: [String])
  /// A pickle names something that tensors do not need; it is neither imported nor run.
  case forbiddenGlobal(path: String, name: String)
  /// A file asks for more than this reader grants, such as nesting or entries.
  case tooMuch(path: String, what: String, limit: Int)
  case shapeMismatch(key: String, expected: [Int], actual: [Int])
  /// A length is negative, or the lengths multiply to more numbers than any file holds.
  case impossibleShape(path: String, tensor: String, shape: [Int])
  /// A tensor's bytes are given as `begin..<end`, which are not the `needed` bytes of its type and shape.
  case impossibleOffsets(path: String, tensor: String, begin: Int, end: Int, needed: Int)
  /// A view reaches outside its storage, or walks it backwards or in place.
  case impossibleView(path: String, shape: [Int], strides: [Int], offset: Int, storage: Int)
  case duplicateName(path: String, name: String)
  /// Two parts of a file claim the same bytes.
  case overlapping(path: String, first: String, second: String)
  /// An entry of an archive is compressed; torch stores entries as they are.
  case compressed(path: String, entry: String)
}

extension CheckpointError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
    case .unrecognised(let path, let reason): "\(path) is not a checkpoint this program reads: \(reason)"
    case .truncated(let path, let expected, let actual):
      "\(path) is cut short: it needs at least \(expected) bytes, the file has \(actual)"
    case .malformed(let path, let reason): "\(path) is malformed: \(reason)"
    case .unsupportedType(let path, let tensor, let type):
      "\(path): tensor '\(tensor)' has the type '\(type)', which this program does not read"
    case .wrongValue(let path, let key, let expected, let found):
      "\(path): '\(key)' needs \(expected), it has \(found)"
    case .outside(let path, let tensor, let begin, let end, let size):
      "\(path): '\(tensor)' would lie in bytes \(begin)…\(end), there are \(size)"
    case .misaligned(let path, let tensor, let offset, let alignment):
      "\(path): tensor '\(tensor)' has the offset \(offset), which is no multiple of the alignment \(alignment)"
    case .brokenBlocks(let path, let tensor, let type, let columns, let block):
      "\(path): tensor '\(tensor)' of type \(type) has \(columns) numbers a row, which is no multiple of \(block)"
    case .unrepresentable(let path, let tensor, let value, let type):
      "\(path): tensor '\(tensor)' has the number \(value), which \(type) cannot hold"
    case .cannotWrite(let path, let reason): "cannot write \(path): \(reason)"
    case .unverified(let path, let tensor):
      "\(path): '\(tensor)' reads back otherwise than it was written; the file was not kept"
    case .missing(let key, let path): "\(path) has no tensor '\(key)'"
    case .wrongTensors(let path, let missing, let unexpected):
      "\(path) does not hold this model's tensors: "
        + [Self.list("missing", missing), Self.list("not part of the model", unexpected)].compactMap { $0 }
        .joined(separator: "; ")
    case .forbiddenGlobal(let path, let name):
      "\(path): its pickle names '\(name)', which no tensor needs; it was not run"
    case .tooMuch(let path, let what, let limit): "\(path) has too many \(what): at most \(limit) are read"
    case .shapeMismatch(let key, let expected, let actual):
      "tensor '\(key)' has shape \(actual), expected \(expected.map { $0 < 0 ? "any" : String($0) }.joined(separator: "×"))"
    case .impossibleShape(let path, let tensor, let shape):
      "\(path): no file holds tensor '\(tensor)' of shape \(shape)"
    case .impossibleOffsets(let path, let tensor, let begin, let end, let needed):
      "\(path): tensor '\(tensor)' needs \(needed) bytes, its offsets are \(begin)…\(end)"
    case .impossibleView(let path, let shape, let strides, let offset, let storage):
      "\(path): a tensor of shape \(shape), strides \(strides) and offset \(offset) does not fit its storage of "
        + "\(storage) numbers"
    case .duplicateName(let path, let name): "\(path) has '\(name)' twice"
    case .overlapping(let path, let first, let second):
      "\(path): '\(first)' and '\(second)' lie in the same bytes"
    case .compressed(let path, let entry):
      "\(path): its entry '\(entry)' is compressed; torch stores entries as they are"
    }
  }

  /// The first twenty names, and how many more there are.
  private static func list(_ title: String, _ names: [String]) -> String? {
    let shown = 20
    guard !names.isEmpty else { return nil }
    let more = names.count > shown ? " and \(names.count - shown) more" : ""
    return "\(title): \(names.prefix(shown).joined(separator: ", "))\(more)"
  }
}
