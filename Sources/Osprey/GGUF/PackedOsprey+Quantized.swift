import Checkpoints

/// llama.cpp's numbers for what most of a file is stored as. Source: `llama_ftype` in llama.h.
enum GGUFFileType {
  static func code(of type: ElementType) -> UInt32 {
    switch type {
    case .float16: 1
    case .q4_0: 2
    case .q8_0: 7
    case .q4_K: 14
    case .q6_K: 18
    case .bfloat16: 32
    default: 0
    }
  }
}

extension PackedOsprey {
  /// A GGUF's content with its matrices in blocks.
  ///
  /// As llama.cpp does it, vectors stay as they are and the last matrix before the words gets 6 bits where others get 4.
  /// Rows that a type's blocks do not fill become Q8_0, or float16 where its blocks do not fill them either. Of what sees,
  /// matrices become Q8_0 and convolutions stay.
  public init(quantizing path: String, as type: ElementType) throws(OspreyError) {
    precondition(type.blockLength > 1)
    let file = try reading { () throws(CheckpointError) in try GGUFFile(path: path) }
    let companion = try reading { () throws(CheckpointError) in try file.companion(PackedCheckpoint.companionName) }
    let isTied = file.shape(of: "output.weight") == nil
    language = try Self.content(file, fileType: GGUFFileType.code(of: type)) { name in
      let isLast = name == (isTied ? "token_embd.weight" : "output.weight")
      return isLast && type.size * 8 < 5 * type.blockLength ? .q6_K : type
    }
    self.companion = try companion.map { file throws(OspreyError) in
      try Self.content(file, fileType: nil) { _ in .q8_0 }
    }
  }

  /// Keys that tell how a file is laid out, which is another in the next one.
  static let layoutKeys = [
    "general.alignment", "\(PackedCheckpoint.companionName).offset", "\(PackedCheckpoint.companionName).length",
  ]

  private static func content(
    _ file: GGUFFile, fileType: UInt32?, _ wanted: (String) -> ElementType
  ) throws(OspreyError) -> GGUFContent {
    var content = GGUFContent()
    for key in file.metadataKeys where !layoutKeys.contains(key) && (fileType == nil || key != "general.file_type") {
      if let value = file.value(key) { content.metadata.append((key, value)) }
    }
    if let fileType { content.metadata.append(("general.file_type", .uint32(fileType))) }
    if file.value("general.quantization_version") == nil {
      content.metadata.append(("general.quantization_version", .uint32(2)))
    }
    for name in file.keys {
      guard let shape = file.shape(of: name), let stored = file.type(of: name) else {
        throw .checkpoint(.unsupportedType(path: file.path, tensor: name, type: file.typeName(of: name) ?? "?"))
      }
      let isMatrix = shape.count == 2 && name.hasSuffix(".weight")
      let type = isMatrix ? fitting(wanted(name), columns: shape[1]) : stored
      guard stored.blockLength == 1 || stored == type else {
        throw .quantized(path: file.path, tensor: name, type: stored.rawValue)
      }
      try reading { () throws(CheckpointError) in
        content.tensors.append(try GGUFTensor(name, as: type, from: file, key: name))
      }
    }
    return content
  }

  private static func fitting(_ type: ElementType, columns: Int) -> ElementType {
    [type, .q8_0].first { columns % $0.blockLength == 0 } ?? .float16
  }

  /// How many tensors are stored in each way, of both parts.
  public var census: [(type: ElementType, count: Int)] {
    let types = (language.tensors + (companion?.tensors ?? [])).map(\.type)
    return ElementType.allCases.map { type in (type, types.count { $0 == type }) }.filter { $0.1 > 0 }
  }
}
