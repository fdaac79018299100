import Daemon
import Tensors
import Yams

extension ServeFile {
  /// A key, which is an option of `serve` with underscores.
  struct Key: Equatable {
    let name: String
    let kind: Kind
    /// Whether SIGHUP takes a change up; others take a restart.
    var isReloaded = false

    var option: String { "--" + name.map { $0 == "_" ? "-" : String($0) }.joined() }

    init?(_ name: String) {
      guard let key = Self.all.first(where: { $0.name == name }) else { return nil }
      self = key
    }

    private init(_ name: String, _ kind: Kind, isReloaded: Bool = false) {
      (self.name, self.kind, self.isReloaded) = (name, kind, isReloaded)
    }

    /// Every option of `serve`; a test holds them together.
    static let all = [
      Key("endpoint", .texts), Key("control", .texts), Key("keys", .text), Key("insecure", .flag),
      Key("camera_endpoint", .texts), Key("camera_connect", .texts), Key("camera_stream", .texts),
      Key("results_endpoint", .texts), Key("key", .text), Key("server_key", .text),
      Key("workers", .workers), Key("workers_endpoint", .texts),
      Key("segmenter", .text, isReloaded: true), Key("labeler", .text, isReloaded: true),
      Key("vision_tower", .text, isReloaded: true),
      Key("kv_cache", .choice(CacheFormat.allCases.map(\.rawValue)), isReloaded: true),
      Key("precision", .choice(PrecisionChoice.allValueStrings), isReloaded: true),
      Key("threads", .count(ModelOptions.threadCounts)), Key("cpus", .cpus),
      Key("queue", .count(Serve.queueLengths)), Key("queue_per_client", .count(Serve.queueLengths)),
      Key("cache_mb", .count(Serve.cacheSizes)),
    ]
  }

  /// What a value is.
  enum Kind: Equatable {
    case text
    /// One text, or a list of them.
    case texts
    case flag
    case count(ClosedRange<Int>)
    case choice([String])
    /// How many worker processes of each stage.
    case workers
    /// CPUs by their numbers.
    case cpus

    var expected: String {
      switch self {
      case .text: "a text"
      case .texts: "a text or a list of texts"
      case .flag: "true or false"
      case .count(let range): "a whole number in \(range.lowerBound)…\(range.upperBound)"
      case .workers: "a number of workers, or so many of each stage: segment=1,extract=1,language=2"
      case .cpus: "a list of CPUs such as 0-3,6"
      case .choice(let names): names.count == 1 ? names[0] : "one of \(names.joined(separator: ", "))"
      }
    }

    /// The value as words, or nil for anything else.
    func words(_ node: Node) -> [String]? {
      switch (self, node) {
      case (.text, .scalar): Self.text(node).map { [$0] }
      case (.texts, .scalar): Self.text(node).map { [$0] }
      case (.texts, .sequence(let nodes)):
        nodes.reduce(into: [String]?([])) { list, node in
          list = Self.text(node).flatMap { text in list.map { $0 + [text] } }
        }
      case (.flag, .scalar): node.tag == Tag(.bool) ? node.bool.map { $0 ? ["true"] : [] } : nil
      case (.count(let range), .scalar):
        node.tag == Tag(.int) ? node.int.flatMap { range.contains($0) ? ["\($0)"] : nil } : nil
      case (.workers, .scalar): node.string.flatMap { WorkerCounts(argument: $0) == nil ? nil : [$0] }
      case (.cpus, .scalar): node.string.flatMap { (try? CPUList($0)) == nil ? nil : [$0] }
      case (.choice(let names), .scalar): node.string.flatMap { names.contains($0) ? [$0] : nil }
      default: nil
      }
    }

    private static func text(_ node: Node) -> String? {
      guard case .scalar(let scalar) = node, node.tag == Tag(.str), !scalar.string.isEmpty else { return nil }
      return scalar.string
    }
  }
}
