/// The picture as the user gave it: x to the right, y down, pixel (0, 0) covers [0, 1) × [0, 1).
public enum SourceFrame: Sendable {}

/// A model's square input: the picture scaled, then padded right and bottom.
public enum ModelFrame: Sendable {}

/// A position in one frame; positions of different frames do not mix.
public struct Point<Frame>: Sendable, Equatable {
  public var x: Float
  public var y: Float

  public init(x: Float, y: Float) {
    self.x = x
    self.y = y
  }
}

/// A rectangle by two corners, x0 ≤ x1 and y0 ≤ y1, in one frame.
public struct Box<Frame>: Sendable, Equatable {
  public var x0: Float
  public var y0: Float
  public var x1: Float
  public var y1: Float

  public init(x0: Float, y0: Float, x1: Float, y1: Float) {
    (self.x0, self.y0, self.x1, self.y1) = (x0, y0, x1, y1)
  }
}
