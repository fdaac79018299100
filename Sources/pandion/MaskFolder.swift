import ArgumentParser
import Foundation
import Imaging
import Masks
import Wire

/// A folder of masks as segment-anything's `scripts/amg.py` writes it: for each picture a folder of PNG masks with
/// `metadata.csv`, or a JSON file of COCO-style masks.
struct MaskFolder {
  /// The three output modes of `SamAutomaticMaskGenerator`.
  enum Mode: String, ExpressibleByArgument, CaseIterable {
    case binaryMask = "binary_mask"
    case uncompressedRLE = "uncompressed_rle"
    case cocoRLE = "coco_rle"
  }

  let path: String
  private let mode: Mode

  init(_ path: String, mode: Mode) throws {
    (self.path, self.mode) = (path, mode)
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch { throw CommandError.refused("cannot make the folder \(path): \(error.localizedDescription)") }
  }

  /// The picture itself, or a folder's pictures by name.
  static func pictures(at path: String) throws -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw CommandError.unreadable(path: path, reason: "there is no such file or folder")
    }
    guard isFolder.boolValue else { return [path] }
    let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter {
      ["png", "jpg", "jpeg"].contains(URL(fileURLWithPath: $0).pathExtension.lowercased())
    }
    guard !names.isEmpty else { throw CommandError.refused("\(path) holds no .png, .jpg or .jpeg file") }
    // Outputs are named without the extension, as the reference names them.
    for (name, group) in Dictionary(grouping: names, by: base) where group.count > 1 {
      throw CommandError.refused("\(group.joined(separator: " and ")) would both be written as '\(name)': rename one")
    }
    return names.map { "\(path)/\($0)" }
  }

  /// Whether a picture's output is there, whole.
  func holds(_ picture: String) -> Bool { FileManager.default.fileExists(atPath: place(picture)) }

  /// Writes a picture's masks, objects of the wire, under a temporary name, which is changed once all is written.
  func write(_ masks: [JSONValue], of picture: String) throws {
    let partial = "\(path)/.\(Self.base(picture)).partial"
    let files = FileManager.default
    do {
      if files.fileExists(atPath: partial) { try files.removeItem(atPath: partial) }
      if mode == .binaryMask {
        try files.createDirectory(atPath: partial, withIntermediateDirectories: false)
        for (number, mask) in masks.enumerated() {
          guard let bits = try mask.bitMask else { continue }
          try Data(bits.encodedPNG()).write(to: URL(fileURLWithPath: "\(partial)/\(number).png"))
        }
        try Data(Self.metadata(masks).utf8).write(to: URL(fileURLWithPath: "\(partial)/metadata.csv"))
      } else {
        try Data(JSONValue.array(masks).serialized()).write(to: URL(fileURLWithPath: partial))
      }
      try files.moveItem(atPath: partial, toPath: place(picture))
    } catch let error as CocoaError {
      throw CommandError.refused("cannot write \(place(picture)): \(error.localizedDescription)")
    }
  }

  /// The reference's table: a line a mask.
  static func metadata(_ masks: [JSONValue]) -> String {
    let header =
      "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,stability_score,"
      + "crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
    let lines = masks.enumerated().map { number, mask in
      let place = mask["point_coords"]?[0]?.array ?? []
      let figures = place.map(\.double) + [mask["predicted_iou"]?.double, mask["stability_score"]?.double]
      let integers = { (key: String) in (mask[key]?.array ?? []).map { $0.integer.map(String.init) ?? "" } }
      let area = mask["area"]?.integer.map(String.init) ?? ""
      let fields =
        [String(number), area] + integers("bbox") + figures.map { $0?.description ?? "" } + integers("crop_box")
      return fields.joined(separator: ",")
    }
    return ([header] + lines).joined(separator: "\n")
  }

  private func place(_ picture: String) -> String {
    "\(path)/\(Self.base(picture))" + (mode == .binaryMask ? "" : ".json")
  }

  private static func base(_ picture: String) -> String {
    URL(fileURLWithPath: picture).deletingPathExtension().lastPathComponent
  }
}
