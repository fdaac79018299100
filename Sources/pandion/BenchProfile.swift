import ArgumentParser
import Foundation
import Tensors

/// What one part of a model's work is made of.
struct PartProfile: Encodable {
  /// What calls are told apart by.
  enum Key: String, ExpressibleByArgument {
    case operation, layer
  }

  /// All calls of one kind of operation on numbers of one shape.
  struct Row: Encodable {
    var kind: String
    var shape: [Int]
    var format: String
    var calls: Int
    var milliseconds: Double
    var flops: Int
    var bytes: Int
    var gflopsPerSecond: Double
    var gbPerSecond: Double
  }

  /// All that was done in one layer.
  struct LayerRow: Encodable {
    /// As the checkpoint names it; empty for what belongs to none.
    var layer: String
    var calls: Int
    var milliseconds: Double
    var flops: Int
    var bytes: Int
    var gflopsPerSecond: Double
    var gbPerSecond: Double
  }

  let part: String
  /// From begin to end.
  let milliseconds: Double
  /// What no operation took: preparing pictures, cutting masks, making tensors.
  let elsewhereMilliseconds: Double
  /// The longest first.
  let operations: [Row]
  /// In the model's order; nil unless asked for.
  let layers: [LayerRow]?

  init(_ part: String, by key: Key = .operation, _ body: () throws -> Void) throws {
    let start = ContinuousClock.now
    let found = try Profile.collectEntries(body)
    self.part = part
    milliseconds = start.duration(to: .now).seconds * 1000
    layers = key == .layer ? Self.layers(found) : nil
    operations = Profile.merged(found).map { operation, total in
      let (flops, bytes) = (operation.flops * total.calls, operation.bytes * total.calls)
      let seconds = max(total.seconds, 1e-9)
      return Row(
        kind: operation.kind.rawValue, shape: operation.shape, format: operation.format, calls: total.calls,
        milliseconds: total.seconds * 1000, flops: flops, bytes: bytes,
        gflopsPerSecond: Double(flops) / seconds / 1e9, gbPerSecond: Double(bytes) / seconds / 1e9)
    }
    elsewhereMilliseconds = milliseconds - operations.reduce(0) { $0 + $1.milliseconds }
  }

  /// - Parameter entries: those of a layer one after the other.
  private static func layers(_ entries: [Profile.Entry]) -> [LayerRow] {
    entries.reduce(into: [LayerRow]()) { rows, entry in
      if rows.last?.layer != entry.layer {
        rows.append(
          LayerRow(
            layer: entry.layer, calls: 0, milliseconds: 0, flops: 0, bytes: 0, gflopsPerSecond: 0, gbPerSecond: 0))
      }
      var row = rows[rows.count - 1]
      row.calls += entry.total.calls
      row.milliseconds += entry.total.seconds * 1000
      row.flops += entry.operation.flops * entry.total.calls
      row.bytes += entry.operation.bytes * entry.total.calls
      let seconds = max(row.milliseconds / 1000, 1e-9)
      row.gflopsPerSecond = Double(row.flops) / seconds / 1e9
      row.gbPerSecond = Double(row.bytes) / seconds / 1e9
      rows[rows.count - 1] = row
    }
  }

  /// A table; operations that together take less than a hundredth are told in one line, layers each in its own.
  func print() {
    let flops = operations.reduce(0) { $0 + $1.flops }
    Standard.output(
      "\(part): "
        + String(
          format: "%.1f ms, %.1f GFLOP, %.0f GFLOP/s", milliseconds, Double(flops) / 1e9,
          Double(flops) / milliseconds / 1e6))
    Standard.output("        ms      %   calls   GFLOP/s    GB/s       MB  \(layers == nil ? "operation" : "layer")")
    if let layers {
      for row in layers {
        line(row.milliseconds, row.calls, row.flops, row.bytes, row.layer.isEmpty ? "no layer" : row.layer)
      }
    } else {
      printOperations()
    }
    line(elsewhereMilliseconds, nil, 0, 0, "elsewhere")
  }

  private func printOperations() {
    var shown = 0.0
    for (index, row) in operations.enumerated() {
      if milliseconds - elsewhereMilliseconds - shown < milliseconds / 100 {
        let rest = operations[index...]
        line(
          rest.reduce(0) { $0 + $1.milliseconds }, rest.reduce(0) { $0 + $1.calls }, rest.reduce(0) { $0 + $1.flops },
          rest.reduce(0) { $0 + $1.bytes }, "\(rest.count) smaller ones")
        break
      }
      shown += row.milliseconds
      line(
        row.milliseconds, row.calls, row.flops, row.bytes,
        "\(row.kind) \(row.shape.map(String.init).joined(separator: "×")) \(row.format)")
    }
  }

  private func line(_ time: Double, _ calls: Int?, _ flops: Int, _ bytes: Int, _ name: String) {
    func column(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    func rate(_ amount: Int) -> String {
      amount > 0 && time > 0 ? String(format: "%.1f", Double(amount) / time / 1e6) : ""
    }
    Standard.output(
      column(String(format: "%.1f", time), 10) + column(String(format: "%.1f", 100 * time / milliseconds), 7)
        + column(calls.map(String.init) ?? "", 8) + column(rate(flops), 10) + column(rate(bytes), 8)
        + column(bytes > 0 ? String(format: "%.1f", Double(bytes) / 1e6) : "", 9) + "  " + name)
  }
}

struct ProfileReport: Encodable {
  var threads: Int
  var profiles: [PartProfile]
}
