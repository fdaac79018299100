import ArgumentParser
import Checkpoints
import Masks
import Wire

/// `--point`, `--box` and `--mask-input`: what the user points at.
struct PromptOptions: ParsableArguments {
  @Option(
    name: .customLong("point"), parsing: .singleValue,
    help: ArgumentHelp("A click in source pixels; 1 (the default) in the object, 0 not in it.", valueName: "x,y[,1|0]"))
  var points: [PointArgument] = []

  @Option(help: ArgumentHelp("A rectangle around the object, in source pixels.", valueName: "x0,y0,x1,y1"))
  var box: BoxArgument?

  @Option(help: ArgumentHelp("Low-resolution logits of an earlier prediction, as a .npy file.", valueName: "F.npy"))
  var maskInput: String?

  var isEmpty: Bool { points.isEmpty && box == nil && maskInput == nil }

  /// The one prompt that the options describe.
  func prompt() throws -> Prompt {
    Prompt(
      points: points.map(\.point), pointLabels: points.map(\.label), box: box?.box,
      maskInput: try maskInput.map { try NumpyFile.read($0).values })
  }
}

extension PromptOptions {
  /// The same for the wire: the prompt, and the blobs that go behind those already there.
  func wire(firstBlob: Int) throws -> (WirePrompt, [[UInt8]]) {
    let prompt = try prompt()
    let blobs = prompt.maskInput.map { logits in [logits.withUnsafeBytes { [UInt8]($0) }] } ?? []
    let wire = WirePrompt(
      points: prompt.points, pointLabels: prompt.pointLabels, box: prompt.box,
      maskInputBlob: blobs.isEmpty ? nil : firstBlob)
    return (wire, blobs)
  }
}

/// `x,y` or `x,y,label`.
struct PointArgument: ExpressibleByArgument {
  let point: Point<SourceFrame>
  let label: Int

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Float($0) }
    guard parts.count == 2 || parts.count == 3, let x = parts[0], let y = parts[1] else { return nil }
    guard parts.count == 2 || parts[2] == 0 || parts[2] == 1 else { return nil }
    point = Point(x: x, y: y)
    label = parts.count == 3 && parts[2] == 0 ? 0 : 1
  }
}

/// `x0,y0,x1,y1`.
struct BoxArgument: ExpressibleByArgument {
  let box: Box<SourceFrame>

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).compactMap { Float($0) }
    guard parts.count == 4 else { return nil }
    box = Box(x0: parts[0], y0: parts[1], x1: parts[2], y1: parts[3])
  }
}
