import Wire

/// Questions that follow on earlier ones about the same picture: `--question` given more than once.
struct Conversation {
  private let request: LabelRequest
  private let masks: [GivenMask]
  /// The replies' mask objects, with the newest words.
  private var objects: [JSONValue]
  /// One of each mask, or a single one where the questions are about several masks at once.
  private var histories: [[LabelRequest.Turn]]
  private let isCommon: Bool

  /// - Parameter exchange: what came of the first question.
  init(_ request: LabelRequest, _ exchange: Exchange) throws {
    guard let handle = exchange.reply.header["image"]?["handle"]?.string else {
      throw CommandError.refused("the reply names no picture to go on with")
    }
    objects = exchange.masks
    masks = try GivenMask.list(JSONValue.array(objects).serialized())
    isCommon = exchange.reply.header["answer"] != nil
    histories = isCommon ? [[]] : Array(repeating: [], count: objects.count)
    var followUp = LabelRequest(image: .handle(handle), regions: .masks(masks))
    (followUp.maxTokens, followUp.temperature) = (request.maxTokens, request.temperature)
    (followUp.topP, followUp.seed, followUp.question) = (request.topP, request.seed, request.question)
    self.request = followUp
    remember(request.question ?? "", exchange.reply)
  }

  /// Asks the next question, of each mask with what was said about it before.
  mutating func ask(_ question: String, _ backend: borrowing Backend) throws -> Exchange {
    var next = request
    next.question = question
    if isCommon {
      next.history = histories[0]
      let exchange = try backend.ask(.label(next), blobs: [])
      remember(question, exchange.reply)
      return exchange
    }
    for index in objects.indices where objects[index]["label"]?.string?.isEmpty == false {
      (next.regions, next.history) = (.masks([masks[index]]), histories[index])
      let exchange = try backend.ask(.label(next), blobs: [])
      if let words = exchange.masks.first { objects[index] = objects[index].withWords(of: words) }
      note(index, question)
    }
    return Exchange(reply: Reply(header: JSONValue(entries: [("masks", .array(objects))])))
  }

  private mutating func remember(_ question: String, _ reply: Reply) {
    if isCommon {
      // What was not answered, for a mask that cannot be seen, is not part of the conversation.
      guard let answer = reply.header["answer"]?["text"]?.string, !answer.isEmpty else { return }
      histories[0].append(.init(question: question, answer: answer))
    } else {
      for index in objects.indices { note(index, question) }
    }
  }

  /// As the model read the question, with the mask where it stood.
  private mutating func note(_ index: Int, _ question: String) {
    let asked = objects[index]["evidence"]?["question"]?.string ?? question
    guard let answer = objects[index]["label"]?.string, !answer.isEmpty else { return }
    histories[index].append(.init(question: asked, answer: answer))
  }
}

extension JSONValue {
  /// A mask object with the words of another.
  fileprivate func withWords(of other: JSONValue) -> JSONValue {
    let keys = ["label", "description", "score", "alternatives", "evidence"]
    guard case .object(let object) = self else { return self }
    return JSONValue(
      entries: object.entries.map { ($0.key, keys.contains($0.key) ? other[$0.key] ?? $0.value : $0.value) })
  }
}
