import Masks

extension RequestReader {
  func label(_ fields: Fields) throws(WireError) -> LabelRequest {
    var request = LabelRequest(image: try image(fields), regions: try regions(fields))
    request.style = try fields.choice("style") ?? .short
    try question(fields, &request)
    try vocabulary(fields, &request)
    try sampling(fields, &request)
    request.maxTokens = try fields.integer("max_tokens", in: 1...limits.maxTokens)
    // `masks` is the encoding of the reply, unless it is the masks themselves; then the encoding has this name.
    let hasMasks = fields["masks"]?.array != nil
    request.masks = try fields.choice(hasMasks ? "mask_encoding" : "masks") ?? .cocoRLE
    return request
  }

  private func question(_ fields: Fields, _ request: inout LabelRequest) throws(WireError) {
    request.question = try fields.text("question", limit: limits.textBytes)
    if let question = request.question, question.allSatisfy(\.isWhitespace) {
      throw .bad("question is empty; leave it out for the question of its style")
    }
    guard let turns = try fields.list("history", limit: limits.history) else { return }
    guard turns.isEmpty || request.question != nil else {
      throw .bad("history is given without question; it is what was asked and answered before the question")
    }
    for (index, value) in turns.enumerated() {
      let name = "history[\(index)]"
      guard let pair = value.array else { throw Fields.wrongKind(name, value, "[question, answer]") }
      guard pair.count == 2 else { throw .bad("\(name) has \(pair.count) entries; it is [question, answer]") }
      let turn = LabelRequest.Turn(
        question: try Fields.text(pair[0], "\(name)[0]", limit: limits.textBytes),
        answer: try Fields.text(pair[1], "\(name)[1]", limit: limits.textBytes))
      guard !turn.question.allSatisfy(\.isWhitespace) else { throw .bad("\(name)[0] is empty; it is a question") }
      guard !turn.answer.isEmpty else { throw .bad("\(name)[1] is empty; it is what was answered") }
      request.history.append(turn)
    }
  }

  private func vocabulary(_ fields: Fields, _ request: inout LabelRequest) throws(WireError) {
    guard let words = try fields.list("vocabulary", limit: limits.vocabulary) else { return }
    guard request.question == nil else { throw .bad("question and vocabulary come together; give one of them") }
    guard !words.isEmpty else { throw .bad("vocabulary is empty; it is a list of words to choose from") }
    var vocabulary: [String] = []
    for (index, word) in words.enumerated() {
      vocabulary.append(try Fields.text(word, "vocabulary[\(index)]", limit: 256))
    }
    request.vocabulary = vocabulary
  }

  private func sampling(_ fields: Fields, _ request: inout LabelRequest) throws(WireError) {
    request.temperature = try fields.number("temperature", in: 0...100)
    request.topP = try fields.number("top_p", in: 0...1)
    request.seed = try fields.integer("seed", in: 0 ... .max)
    if request.topP != nil, request.temperature == nil {
      throw .bad("top_p is given without temperature; without one the likeliest words are taken and nothing is drawn")
    }
    if request.temperature != nil, request.vocabulary != nil {
      throw .bad("temperature and vocabulary come together; from a vocabulary nothing is drawn, give one of them")
    }
  }

  private func regions(_ fields: Fields) throws(WireError) -> LabelRequest.Regions {
    let isAuto = try fields.flag("auto") ?? false
    let masks = fields["masks"]?.array == nil ? nil : try fields.list("masks", limit: limits.masks)
    let given = [isAuto, masks != nil, fields["prompts"] != nil].count { $0 }
    guard given == 1 else {
      let state = given == 0 ? "are missing" : "come together"
      throw .bad("prompts, masks and auto \(state): give prompts, or a list of masks, or \"auto\":true")
    }
    if isAuto { return .auto(try automaticParameters(fields)) }
    guard let masks else {
      return .prompts(try requiredPrompts(fields), multimask: try fields.flag("multimask") ?? false)
    }
    var regions: [GivenMask] = []
    for (index, mask) in masks.enumerated() { regions.append(try givenMask(mask, path: "masks[\(index)]")) }
    return .masks(regions)
  }
}
