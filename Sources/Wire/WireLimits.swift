/// The bounds of what is read from the wire; `hello` tells them.
public struct WireLimits: Sendable, Equatable {
  /// The header, in bytes.
  public var headerBytes = 1 << 20
  /// How deep its JSON nests.
  public var headerDepth = 32
  public var blobs = 64
  /// All blobs of one message together, in bytes.
  public var blobBytes = 256 << 20
  public var prompts = 256
  public var pointsPerPrompt = 1024
  /// Masks that a client brings.
  public var masks = 4096
  public var vocabulary = 4096
  /// Any text of the header, in bytes.
  public var textBytes = 4096
  public var maxTokens = 1024
  /// Earlier questions of a label request.
  public var history = 16
  /// Sides of a raw picture, in pixels.
  public var imageSide = 16_384

  public init() {}

  public var json: JSONValue {
    JSONValue(entries: [
      ("header_bytes", .integer(headerBytes)), ("header_depth", .integer(headerDepth)), ("blobs", .integer(blobs)),
      ("blob_bytes", .integer(blobBytes)), ("prompts", .integer(prompts)),
      ("points_per_prompt", .integer(pointsPerPrompt)), ("masks", .integer(masks)),
      ("vocabulary", .integer(vocabulary)), ("text_bytes", .integer(textBytes)), ("max_tokens", .integer(maxTokens)),
      ("history", .integer(history)),
      ("image_side", .integer(imageSide)),
    ])
  }
}
