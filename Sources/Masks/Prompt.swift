/// What a user points at: points, a box and an earlier mask, in any mix. One prompt asks for one object.
public struct Prompt: Sendable, Equatable {
  /// Clicks in source pixels.
  public var points: [Point<SourceFrame>]
  /// For each point 1 (in the object) or 0 (not in it).
  public var pointLabels: [Int]
  /// A rectangle around the object, in source pixels.
  public var box: Box<SourceFrame>?
  /// Logits of an earlier prediction on the model's low-resolution grid, `[4h, 4w]` row-major, padded frame.
  public var maskInput: [Float]?

  public init(
    points: [Point<SourceFrame>] = [], pointLabels: [Int] = [], box: Box<SourceFrame>? = nil, maskInput: [Float]? = nil
  ) {
    (self.points, self.pointLabels, self.box, self.maskInput) = (points, pointLabels, box, maskInput)
  }
}
