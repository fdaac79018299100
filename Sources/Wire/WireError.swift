/// An error as it goes over the wire: a code for programs, a message for people.
public struct WireError: Error, Equatable, Sendable {
  public enum Code: String, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case tooLarge = "too_large"
    case busy
    case deadline
    case cancelled
    case noImage = "no_image"
    case poison
    case modelUnavailable = "model_unavailable"
    case `internal`
    case shuttingDown = "shutting_down"
  }

  public var code: Code
  /// Which field is wrong, and what would be right.
  public var message: String
  /// When to try again, in milliseconds.
  public var retryAfterMilliseconds: Int?

  public init(_ code: Code, _ message: String, retryAfterMilliseconds: Int? = nil) {
    (self.code, self.message, self.retryAfterMilliseconds) = (code, message, retryAfterMilliseconds)
  }

  /// Whether the same request may succeed later.
  public var isRetryable: Bool {
    switch code {
    case .busy, .deadline, .shuttingDown, .modelUnavailable: true
    case .badRequest, .tooLarge, .cancelled, .noImage, .poison, .internal: false
    }
  }

  /// `{"code","message","retryable","retry_after_ms"}`
  public var json: JSONValue {
    JSONValue(entries: [
      ("code", .string(code.rawValue)), ("message", .string(message)), ("retryable", .bool(isRetryable)),
      ("retry_after_ms", retryAfterMilliseconds.map { .integer($0) }),
    ])
  }

  static func bad(_ message: String) -> WireError { WireError(.badRequest, message) }
}

extension WireError: CustomStringConvertible {
  public var description: String { "\(code.rawValue): \(message)" }
}
