import Synchronization
import Tensors

/// A checkpoint that remembers what was read of it, so that a model can name at once every tensor that it lacks and every
/// one that no part of it reads, as torch's `load_state_dict(strict=True)` does.
///
/// From the first missing tensor on, zeros stand in for what is missing or does not fit, only to find what else is
/// missing: `finish` then throws. Whoever reads a model from this must end with `finish`, and pass errors through
/// `explained`.
public final class StrictCheckpoint: Checkpoint {
  private struct Ledger {
    var read: Set<String> = []
    var missing: [String] = []
    /// The numbers of all stand-ins together.
    var standIns = 0
  }

  private let base: any Checkpoint
  private let ledger = Mutex(Ledger())

  /// A few small tensors of a file can imply large ones. Beyond this many numbers (128 MiB) the search for what else is
  /// missing ends; a block of ViT-H has 20 million.
  private static let standInLimit = 1 << 25

  public init(_ base: any Checkpoint) { self.base = base }

  public var path: String { base.path }
  public var keys: [String] { base.keys }
  public func shape(of key: String) -> [Int]? { base.shape(of: key) }
  public func type(of key: String) -> ElementType? { base.type(of: key) }
  public func typeName(of key: String) -> String? { base.typeName(of: key) }

  public func tensor(_ key: String) throws(CheckpointError) -> Tensor {
    let tensor = try base.tensor(key)
    ledger.withLock { _ = $0.read.insert(key) }
    return tensor
  }

  public func tensor(_ key: String, shape expected: [Int]) throws(CheckpointError) -> Tensor {
    let found = try read(key) { () throws(CheckpointError) in try base.tensor(key, shape: expected) }
    if let found { return found }
    return Tensor(try standInShape(expected))
  }

  public func matrix(_ key: String, shape expected: [Int]) throws(CheckpointError) -> WeightMatrix {
    let found = try read(key) { () throws(CheckpointError) in try base.matrix(key, shape: expected) }
    if let found { return found }
    return WeightMatrix(Tensor(try standInShape(expected)))
  }

  /// - Returns: nil where zeros are to stand in for it.
  private func read<R>(_ key: String, _ body: () throws(CheckpointError) -> R)
    throws(CheckpointError) -> R?
  {
    do throws(CheckpointError) {
      let result = try body()
      ledger.withLock { _ = $0.read.insert(key) }
      return result
    } catch {
      switch error {
      case .missing: ledger.withLock { $0.missing.append(key) }
      // What follows from a stand-in need not fit what is there.
      case .shapeMismatch where isIncomplete: ledger.withLock { _ = $0.read.insert(key) }
      default: throw error
      }
      return nil
    }
  }

  private var isIncomplete: Bool { ledger.withLock { !$0.missing.isEmpty } }

  /// The shape of zeros that stand in for a tensor, which are counted.
  private func standInShape(_ expected: [Int]) throws(CheckpointError) -> [Int] {
    let shape = expected.map { $0 < 0 ? 1 : $0 }
    let count = TensorEntry.count(of: shape) ?? .max
    let fits = ledger.withLock { ledger in
      guard count <= Self.standInLimit - ledger.standIns else { return false }
      ledger.standIns += count
      return true
    }
    guard fits else { throw wrongTensors([]) }
    return shape
  }

  private func wrongTensors(_ unexpected: [String]) -> CheckpointError {
    .wrongTensors(path: path, missing: ledger.withLock { $0.missing }, unexpected: unexpected)
  }

  /// What is to be thrown in the place of an error that ended the reading: what was missing before explains it.
  public func explained(_ error: CheckpointError) -> CheckpointError {
    switch error {
    case .wrongTensors: return error
    case .missing(let key, _):
      ledger.withLock { $0.missing.append(key) }
      return wrongTensors([])
    default: return isIncomplete ? wrongTensors([]) : error
    }
  }

  /// Ends the reading of a model.
  ///
  /// - Parameters:
  ///   - prefix: where its names begin. Tensors that lie elsewhere are not the model's, such as an optimizer's.
  ///   - ignoring: whether a tensor, by its name behind the prefix, may be there without being read.
  /// - Throws: `wrongTensors` if one is missing, or was not read.
  public func finish(under prefix: String, ignoring: (String) -> Bool) throws(CheckpointError) {
    let read = ledger.withLock { $0.read }
    let unexpected = keys.filter { key in
      key.hasPrefix(prefix) && !read.contains(key) && !ignoring(String(key.dropFirst(prefix.count)))
    }
    guard !isIncomplete, unexpected.isEmpty else { throw wrongTensors(unexpected) }
  }
}
