import Checkpoints
import Foundation

/// The folders under `Models/`, wherever that is on this machine.
public struct ModelCatalog: Sendable {
  /// The model that serves when none is named.
  public static let defaultName = "pandion-nano"

  /// The folder of models, or none.
  public let root: String?

  /// `PANDION_MODELS`, or else the `Models/` of the working folder, the folders above the executable (a build folder lies in
  /// the checkout), and where a package would put it.
  public init(environment: [String: String] = ProcessInfo.processInfo.environment, executable: String? = nil) {
    if let given = environment["PANDION_MODELS"], !given.isEmpty {
      // Whoever says where the models are does not mean others.
      root = given
      return
    }
    var places = ["Models"]
    let program = executable ?? Self.executablePath
    var above = URL(fileURLWithPath: program).resolvingSymlinksInPath().deletingLastPathComponent()
    for _ in 0..<5 {
      places.append(above.appendingPathComponent("Models").path)
      places.append(above.appendingPathComponent("share/pandion/Models").path)
      above.deleteLastPathComponent()
    }
    root = places.first { Self.holdsModels($0) }
  }

  public init(root: String) { self.root = root }

  /// The names of the models here, sorted.
  public var names: [String] {
    guard let root, let entries = try? FileManager.default.contentsOfDirectory(atPath: root) else { return [] }
    return entries.filter { FileManager.default.fileExists(atPath: "\(root)/\($0)/model.json") }.sorted()
  }

  /// A model's folder and manifest, by its name.
  public func find(_ name: String) throws(ModelError) -> InstalledModel {
    guard let root, names.contains(name) else { throw .unknown(name: name, known: names) }
    return InstalledModel(folder: "\(root)/\(name)", manifest: try ModelManifest(path: "\(root)/\(name)/model.json"))
  }

  private static func holdsModels(_ path: String) -> Bool {
    guard let entries = try? FileManager.default.contentsOfDirectory(atPath: path) else { return false }
    return entries.contains { FileManager.default.fileExists(atPath: "\(path)/\($0)/model.json") }
  }

  private static var executablePath: String {
    #if os(Linux)
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    #else
      CommandLine.arguments[0]
    #endif
  }
}

/// A folder under `Models/` with its manifest; its files may still be missing.
public struct InstalledModel: Sendable {
  public let folder: String
  public let manifest: ModelManifest

  /// What names the shards of large weights, as Hugging Face folders have it.
  static let indexSuffix = ".index.json"

  /// Every file that the folder needs: those of the manifest, and the shards that its indices name once they are here.
  public var files: [ModelManifest.File] {
    get throws(ModelError) {
      var files = manifest.files
      for index in manifest.files where index.path.hasSuffix(Self.indexSuffix) && exists(index.path) {
        let names: [String]
        do {
          names = try ShardedCheckpoint.shards(index: path(index.path))
        } catch {
          throw .unreadable(path: path(index.path), reason: "\(error)")
        }
        let base = index.url.map { $0.prefix { $0 != "?" } }.map {
          $0.prefix(upTo: $0.lastIndex(of: "/") ?? $0.endIndex)
        }
        for name in names where !files.contains(where: { $0.path == name }) {
          files.append(ModelManifest.File(path: name, url: base.map { "\($0)/\(name)" }))
        }
      }
      return files
    }
  }

  /// Files that are not here or not of the size that the manifest gives, if it gives one.
  var absent: [ModelManifest.File] {
    get throws(ModelError) {
      try files.filter { file in
        guard let size = FileManager.default.size(ofFileAt: path(file.path)) else { return true }
        return size != file.size ?? size
      }
    }
  }

  /// The paths of those.
  public var missing: [String] { get throws(ModelError) { try absent.map(\.path) } }

  /// Files that cannot be verified, since nobody published a digest of them.
  public var unverifiable: [String] { get throws(ModelError) { try files.filter { $0.digest == nil }.map(\.path) } }

  private func exists(_ file: String) -> Bool { FileManager.default.fileExists(atPath: path(file)) }

  /// The path of a file of this model.
  public func path(_ file: String) -> String { "\(folder)/\(file)" }

  /// The path of a file that has to be here.
  func existing(_ file: String) throws(ModelError) -> String {
    guard exists(file) else {
      throw .incomplete(name: manifest.name, missing: [file])
    }
    return path(file)
  }
}
