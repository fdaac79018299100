import Tensors

/// The precision that somebody wants a model to compute in.
public enum PrecisionChoice: Sendable, Equatable {
  /// The first that this CPU has instructions for among those that were measured to keep the model's answers, fastest first;
  /// else fp32. A model without a manifest was not measured.
  case automatic
  case fixed(Precision)

  /// - Parameter measured: what the model's manifest names.
  func precision(_ measured: [Precision]?) throws(ModelError) -> Precision {
    switch self {
    case .automatic: return measured?.first(where: \.isAvailable) ?? .fp32
    case .fixed(let precision):
      guard precision.isAvailable else { throw .noInstructions(precision: precision) }
      return precision
    }
  }
}

extension Precision: Codable {}
