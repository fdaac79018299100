import Imaging
import Masks
import Tensors
import Testing

@testable import SegmentAnything

/// Cells that are never made, against cells that are: the same numbers, in another order of additions.
struct CellBasisTests {
  @Test(arguments: Golden.all)
  func theBasisLeavesNothingOut(golden: Golden) throws {
    let model = golden.model
    let image = model.embed(try Golden.picture("landscape")).unmasked
    let transformer = model.maskDecoder.transformer
    // One click, a box, three points.
    let prompts = [
      ModelPrompt(points: [Point(x: 31, y: 77)], labels: [1]),
      ModelPrompt(points: [], labels: [], box: Box(x0: 20, y0: 30, x1: 200, y1: 90)),
      ModelPrompt(points: [Point(x: 3, y: 5), Point(x: 90, y: 60), Point(x: 250, y: 10)], labels: [1, 0, 1]),
    ].map { Tensor.concatenated([model.maskDecoder.outputTokens, model.promptEncoder.sparse($0)]) }
    let together = transformer.inBasis(prompts, read: 4, image, model.positionSide)
    for (tokens, ours) in zip(prompts, together) {
      let plain = transformer.plain(tokens, read: 4, image, positions: model.cellPositions)
      expectClose(ours.tokens, plain.tokens, "tokens")
      let maps = [ours, plain].map { result in
        UpscaledCells(
          result.cells, image, model.maskDecoder.upscaling.first, beta: transformer.lastBeta
        ).map(gridSize: model.maskDecoder.gridSize)
      }
      expectClose(maps[0], maps[1], "cells")
    }
  }

  /// Prompts of so many points that a basis would be longer than the cells are.
  @Test func manyPointsGoThePlainWay() throws {
    let model = Golden.all[0].model
    let embedding = model.embed(try Golden.picture("landscape"))
    let points = (0..<40).map { Point<SourceFrame>(x: Float(3 * $0), y: Float($0)) }
    let many = Prompt(points: points, pointLabels: points.map { _ in 1 })
    let prediction = try model.predict(embedding, [many, many], multimask: true)
    #expect(prediction[0].lowResLogits.values == prediction[1].lowResLogits.values)
    let isFinite = prediction[0].lowResLogits.values.allSatisfy { $0.isFinite }
    #expect(isFinite)
    let transformer = model.maskDecoder.transformer
    // It would say the same.
    let tokens = Tensor.concatenated([
      model.maskDecoder.outputTokens,
      model.promptEncoder.sparse(
        ModelPrompt(points: points.map { embedding.frame.model($0) }, labels: many.pointLabels)),
    ])
    let ours = transformer.inBasis([tokens], read: 4, embedding.unmasked, model.positionSide)[0]
    let plain = transformer.plain(tokens, read: 4, embedding.unmasked, positions: model.cellPositions)
    let chosen = transformer([tokens], read: 4, embedding.unmasked, model.positionSide, positions: model.cellPositions)[
      0]
    guard case .plain = chosen.cells else {
      Issue.record("\(tokens.shape[0]) tokens are in a basis")
      return
    }
    expectClose(ours.tokens, plain.tokens, "tokens")
  }

  /// Within 1e-5 of the scale.
  private func expectClose(_ ours: Tensor, _ theirs: Tensor, _ what: String) {
    let scale = theirs.values.reduce(0) { max($0, abs($1)) }
    let error = zip(ours.values, theirs.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(ours.shape == theirs.shape && error <= 1e-5 * scale, "\(what): \(error / scale) of the scale")
  }
}
