import ArgumentParser
import Checkpoints
import Daemon
import Foundation

/// `pandion models list|fetch|verify|inspect`.
struct Models: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What models there are, and what is in their files.", subcommands: [List.self, Inspect.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The models under Models/.")

    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let catalog = ModelCatalog()
      let models = try catalog.names.map { name throws(ModelError) in try catalog.find(name) }
      if json {
        try printJSON(
          models.map { model in
            ModelRow(
              name: model.manifest.name, folder: model.folder, complete: model.missing.isEmpty,
              missing: model.missing, license: model.manifest.license, files: model.manifest.files)
          })
        return
      }
      for model in models {
        let size = model.manifest.files.reduce(0) { $0 + $1.size }
        let state = model.missing.isEmpty ? "here" : "lacks \(model.missing.joined(separator: ", "))"
        let name = model.manifest.name.padding(toLength: 18, withPad: " ", startingAt: 0)
        Standard.output("\(name) \(String(format: "%8.1f", Double(size) / 1e6)) MB  \(state)")
      }
      if models.isEmpty { Standard.error("no Models/ folder was found; set PANDION_MODELS") }
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
        paths = found.manifest.files.map { found.path($0.path) }.filter {
          $0.hasSuffix(".safetensors") || $0.hasSuffix(".pth")
        }
      }
      var rows: [TensorRow] = []
      for path in paths {
        let checkpoint = try openCheckpoint(path)
        for key in checkpoint.keys {
          guard let shape = checkpoint.shape(of: key), let type = checkpoint.type(of: key) else { continue }
          rows.append(TensorRow(file: path, name: key, dtype: type.rawValue, shape: shape))
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
