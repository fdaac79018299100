import ArgumentParser
import Checkpoints
import Daemon
import Foundation

/// `pandion models list|fetch|verify|inspect|convert|quantize`.
struct Models: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What models there are, and what is in their files.",
    subcommands: [List.self, Fetch.self, Verify.self, Inspect.self, Convert.self, Quantize.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The models under Models/.")

    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let catalog = ModelCatalog()
      let models = try catalog.names.map { name throws(ModelError) in try catalog.find(name) }
      if json {
        try printJSON(
          models.map { model in
            let missing = try model.missing
            return ModelRow(
              name: model.manifest.name, folder: model.folder, complete: missing.isEmpty,
              missing: missing, license: model.manifest.license, files: try model.files)
          })
        return
      }
      for model in models {
        let (files, missing) = (try model.files, try model.missing)
        let sizes = files.compactMap(\.size)
        let isKnown = sizes.count == files.count
        let size = isKnown ? String(format: "%8.1f", Double(sizes.reduce(0, +)) / 1e6) : "       ?"
        let state = missing.isEmpty ? "here" : "lacks \(missing.joined(separator: ", "))"
        let name = model.manifest.name.padding(toLength: 18, withPad: " ", startingAt: 0)
        Standard.output("\(name) \(size) MB  \(state)")
      }
      if models.isEmpty { Standard.error("no Models/ folder was found; set PANDION_MODELS") }
    }
  }

  struct Fetch: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Bring a published model's files and check them; an interrupted transfer goes on where it stopped.")

    @Argument(help: "The model's name.") var model: String

    func run() throws {
      let found = try ModelCatalog().find(model)
      let bars = ProgressBars()
      try ModelFetcher(found).fetch { file, done, total in
        if total > 0 { bars.update(file, done, total) }
      }
      Standard.output("\(model) is complete in \(found.folder)")
      for file in try found.unverifiable {
        Standard.output("not verified: the manifest has no sha256 of \(file), since none is published")
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Compare a model's files with its manifest, by their digests.")

    @Argument(help: "The models' names; all unless given.") var models: [String] = []

    func run() throws {
      let catalog = ModelCatalog()
      var bad = false
      for name in models.isEmpty ? catalog.names : models {
        let found = try catalog.find(name)
        for file in try found.files {
          guard FileManager.default.fileExists(atPath: found.path(file.path)) else {
            // A published model that was never fetched is no fault, unless it was asked for by name.
            if !models.isEmpty { bad = true }
            Standard.output("absent  \(name)/\(file.path)")
            continue
          }
          let actual = try file.digest(ofFileAt: found.path(file.path))
          guard let expected = file.digest else {
            Standard.output("not verified  \(name)/\(file.path): the manifest has no sha256; here it is \(actual)")
            continue
          }
          let good = actual == expected
          bad = bad || !good
          Standard.output("\(good ? "ok     " : "WRONG  ") \(name)/\(file.path)")
        }
      }
      if bad { throw ExitCode(1) }
    }
  }

  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The tensors of a checkpoint, or a model's files.")

    @Argument(help: "A checkpoint's path, or a model's name.") var model: String
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let catalog = ModelCatalog()
      var paths = [model]
      if catalog.names.contains(model) {
        let found = try catalog.find(model)
        paths = try found.files.map { found.path($0.path) }.filter(isNamedAsCheckpoint)
      }
      var rows: [TensorRow] = []
      for path in paths {
        let checkpoint = try openCheckpoint(path)
        // A packed labeler has a second GGUF behind the first.
        let companion = try (checkpoint as? GGUFFile)?.companion("osprey.companion")
        for part in [checkpoint] + (companion.map { [$0] } ?? []) {
          for key in part.keys {
            guard let shape = part.shape(of: key), let type = part.typeName(of: key) else { continue }
            rows.append(TensorRow(file: path, name: key, dtype: type, shape: shape))
          }
        }
      }
      if json { return try printJSON(rows) }
      for row in rows {
        let shape = row.shape.map(String.init).joined(separator: "×")
        Standard.output(
          "\(row.name.padding(toLength: max(64, row.name.count), withPad: " ", startingAt: 0)) \(row.dtype.padding(toLength: 5, withPad: " ", startingAt: 0)) \(shape)"
        )
      }
      let total = rows.reduce(0) { $0 + $1.shape.reduce(1, *) }
      Standard.output("\(rows.count) tensors, \(total) numbers")
    }
  }
}

private struct ModelRow: Encodable {
  var name: String
  var folder: String
  var complete: Bool
  var missing: [String]
  var license: String?
  var files: [ModelManifest.File]
}

private struct TensorRow: Encodable {
  var file: String
  var name: String
  var dtype: String
  var shape: [Int]
}

/// Prints a value as one JSON document with sorted keys.
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
  encoder.keyEncodingStrategy = .convertToSnakeCase
  Standard.output(String(decoding: try encoder.encode(value), as: UTF8.self))
}
