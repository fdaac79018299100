import ArgumentParser
import CKernels
import COpenBLAS
import Daemon
import Foundation
import Imaging
import Masks
import Tensors
import Wire

/// `pandion doctor`: whether everything that pandion needs is here and works.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Check this machine: libraries, kernels, models, a click.")

  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var connect: ConnectOptions

  func run() throws {
    if let client = try connect.client() { return try ask(client) }
    var checks: [Check] = []
    checks.append(Check(name: "kernels", ok: true, detail: String(cString: ck_best().pointee.name)))
    checks.append(
      Check(
        name: "openblas", ok: true,
        detail: String(cString: openblas_get_config()).trimmingCharacters(in: .whitespaces)
          + ", \(ComputePool.threads) threads"))
    let catalog = ModelCatalog()
    checks.append(
      Check(name: "models", ok: catalog.root != nil, detail: catalog.root ?? "no Models/ folder; set PANDION_MODELS"))
    do {
      let start = ContinuousClock.now
      let loader = ModelLoader(catalog: catalog)
      let (segmenter, labeler) = (try loader.segmenter(), try loader.labeler())
      let loaded = start.duration(to: .now).seconds
      let image = Image(width: 64, height: 48, pixels: [UInt8](repeating: 128, count: 64 * 48 * 3))
      let prompt = Prompt(points: [Point(x: 32, y: 24)], pointLabels: [1])
      let mask = try segmenter.predict(segmenter.embed(image), prompt, multimask: false).masks[0]
      let answer = try labeler.label(labeler.see(image), mask: mask, style: .short, maxTokens: 16)
      let all = start.duration(to: .now).seconds
      checks.append(
        Check(
          name: ModelCatalog.defaultName, ok: true,
          detail: String(format: "loads in %.2f s; a click to a word takes %.2f s", loaded, all - loaded)
            + " ('\(answer.text)' on a grey picture)"))
    } catch {
      checks.append(Check(name: ModelCatalog.defaultName, ok: false, detail: "\(error)"))
    }
    if json {
      try printJSON(checks)
    } else {
      for check in checks {
        Standard.output(
          "\(check.ok ? "ok  " : "FAIL") \(check.name.padding(toLength: 14, withPad: " ", startingAt: 0)) \(check.detail)"
        )
      }
    }
    if checks.contains(where: { !$0.ok }) { throw ExitCode(1) }
  }

  /// Says who answers at an endpoint.
  private func ask(_ client: borrowing Client) throws {
    let reply = try client.send(Request(.hello, id: "doctor"), timeout: .seconds(5))
    if let error = reply.error { throw CommandError.refused(error.message) }
    if json { return Standard.output(String(decoding: reply.header.serialized(), as: UTF8.self)) }
    let models = (reply.header["models"]?.array ?? []).compactMap { $0["name"]?.string }
    let version = reply.header["version"]?.string ?? "of an unknown version"
    Standard.output("ok   pandion \(version) answers at \(client.endpoint) with \(models.joined(separator: ", "))")
  }

  private struct Check: Encodable {
    var name: String
    var ok: Bool
    var detail: String
  }
}
