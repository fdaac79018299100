import Masks
import Osprey
import Wire

extension OspreyEngine {
  /// For each mask the likeliest of the user's own words, with the next ones as alternatives; scores are shares among them.
  func choose(
    _ image: OspreyImage, _ count: Int, _ regions: (Int) throws(OspreyError) -> RegionTokens, _ vocabulary: [String],
    _ facts: [(String, JSONValue?)], _ isCancelled: () -> Bool, _ report: (Int, Words) -> Void
  ) throws(OspreyError) {
    for index in 0..<count {
      if isCancelled() { throw .cancelled }
      let region = try regions(index)
      if region.levels.hasVanished {
        report(index, Self.vanished(Self.cells(region.levels), facts))
        continue
      }
      let choices = try labeler.choose(image, region, among: vocabulary, isCancelled: isCancelled)
      let basis = Self.cells(region.levels) + [("log_probability", choices.first.map { .number($0.logProbability) })]
      report(
        index,
        Words(
          label: choices.first?.word ?? Choice.none, score: choices.first.map { Float($0.share) },
          alternatives: choices.dropFirst().prefix(4).map { ($0.word ?? Choice.none, Float($0.share)) },
          evidence: JSONValue(entries: basis + facts)))
    }
  }
}
