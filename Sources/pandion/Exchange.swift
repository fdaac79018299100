import Daemon
import Foundation
import Imaging
import Masks
import Wire

/// Where requests go: to a running daemon with `--connect`, else to models loaded here. Both take the same path from
/// the request on, so both give the same objects.
enum Backend: ~Copyable {
  case daemon(Client)
  case here(Pipeline)

  /// - Parameter operation: one of the kind that will be asked for; it tells which models are needed.
  init(for operation: Request.Operation, models: ModelOptions, output: OutputOptions) throws {
    if let client = try output.connect.client() {
      self = .daemon(client)
    } else {
      self = .here(try models.pipeline(for: operation))
    }
  }

  func ask(_ operation: Request.Operation, blobs: [[UInt8]]) throws -> Exchange {
    let request = Request(operation, id: UUID().uuidString)
    let reply =
      switch self {
      case .daemon(let client): try client.send(request, blobs: blobs, timeout: .seconds(600))
      case .here(let pipeline): pipeline.perform(request, blobs: blobs)
      }
    if let error = reply.error { throw CommandError.refused(error.message) }
    return Exchange(reply: reply)
  }
}

/// A reply, and what commands make of it.
struct Exchange {
  let reply: Reply

  init(reply: Reply) { self.reply = reply }

  /// Asks one thing only.
  init(_ operation: Request.Operation, blobs: [[UInt8]], models: ModelOptions, output: OutputOptions) throws {
    self = try Backend(for: operation, models: models, output: output).ask(operation, blobs: blobs)
  }

  /// The mask objects, as on the wire.
  var masks: [JSONValue] { reply.header["masks"]?.array ?? [] }

  /// Writes the picture with the masks drawn over it, each with its label.
  func writeOverlay(_ path: String, over image: Image) throws {
    let drawn = try masks.compactMap { object -> (mask: BitMask, label: String?)? in
      guard let mask = try object.bitMask else { return nil }
      return (mask, object["label"]?.string)
    }
    let bytes = try image.overlay(drawn).encodedPNG()
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch { throw CommandError.refused("cannot write \(path): \(error.localizedDescription)") }
  }

  /// Prints the mask objects as one JSON list.
  func printMasks() { Standard.output(String(decoding: JSONValue.array(masks).serialized(), as: UTF8.self)) }
}

extension JSONValue {
  /// The mask of an object that has a `segmentation` in compressed COCO RLE.
  var bitMask: BitMask? {
    get throws {
      guard let height = self["segmentation"]?["size"]?[0]?.integer,
        let width = self["segmentation"]?["size"]?[1]?.integer,
        let counts = self["segmentation"]?["counts"]?.string
      else { return nil }
      return try RunLengthEncoding(height: height, width: width, compressed: counts).bitMask()
    }
  }
}

/// What the command line says besides the typed errors of the rooms.
enum CommandError: Error, CustomStringConvertible {
  case refused(String)
  case unreadable(path: String, reason: String)

  var description: String {
    switch self {
    case .refused(let message): message
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    }
  }
}

/// A picture from a file, as bytes for the wire.
struct PictureFile {
  let path: String
  let bytes: [UInt8]

  init(_ path: String) throws {
    self.path = path
    bytes = try FileReading.bytes(path, limit: DecodeLimits.default.maxBytes)
  }

  var image: Image { get throws { try Image.decode(bytes) } }

  /// The blob's place and encoding; what it really is is told by its content.
  var reference: ImageReference {
    .blob(index: 0, encoding: bytes.starts(with: [0x89, 0x50, 0x4e, 0x47]) ? .png : .jpeg, raw: nil)
  }
}

enum FileReading {
  /// The lines of a text that are not empty, such as a vocabulary's words.
  static func lines(_ path: String) throws -> [String] {
    String(decoding: try bytes(path, limit: 1 << 20), as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
  }

  /// The bytes of a file of at most `limit`; pipes such as `/dev/stdin` too.
  static func bytes(_ path: String, limit: Int) throws -> [UInt8] {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw CommandError.unreadable(path: path, reason: "it is a folder")
    }
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw CommandError.unreadable(path: path, reason: "there is no such file, or it may not be read")
    }
    defer { try? file.close() }
    do {
      var bytes: [UInt8] = []
      while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty {
        bytes += piece
        guard bytes.count <= limit else {
          throw CommandError.unreadable(path: path, reason: "it has more than \(limit) bytes")
        }
      }
      return bytes
    } catch let error as CommandError {
      throw error
    } catch {
      throw CommandError.unreadable(path: path, reason: error.localizedDescription)
    }
  }
}
