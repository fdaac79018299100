import Foundation
import Tensors

/// A named array to be written: float32, bytes or 32-bit integers.
public enum NamedArray: Sendable {
  case float32(Tensor)
  case uint8(shape: [Int], [UInt8])
  case int32([Int32])

  public var shape: [Int] {
    switch self {
    case .float32(let tensor): tensor.shape
    case .uint8(let shape, _): shape
    case .int32(let values): [values.count]
    }
  }

  var typeName: String {
    switch self {
    case .float32: "F32"
    case .uint8: "U8"
    case .int32: "I32"
    }
  }

  var data: Data {
    switch self {
    case .float32(let tensor): tensor.withUnsafe { Data(buffer: $0) }
    case .uint8(_, let bytes): Data(bytes)
    case .int32(let values): values.withUnsafeBufferPointer { Data(buffer: $0) }
    }
  }
}

/// Writes named arrays as a safetensors file, under a temporary name that is then renamed.
public func writeSafetensors(_ arrays: [(name: String, array: NamedArray)], to path: String) throws(CheckpointError) {
  var header: [String: Any] = [:]
  var body = Data()
  for (name, array) in arrays {
    let data = array.data
    header[name] = [
      "dtype": array.typeName, "shape": array.shape, "data_offsets": [body.count, body.count + data.count],
    ]
    body.append(data)
  }
  do {
    var json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys])
    while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
    var file = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
    file.append(json)
    file.append(body)
    try file.write(to: URL(fileURLWithPath: path), options: .atomic)
  } catch {
    throw .cannotOpen(path: path, reason: error.localizedDescription)
  }
}
