import Foundation
import Masks
import Testing
import Wire

@testable import pandion

/// What `pandion auto --out` writes, against the form of the reference's `scripts/amg.py`.
@Suite struct MaskFolderTests {
  /// A folder of its own for each test, gone at its end.
  final class Scratch {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func add(_ names: String...) {
      for name in names { _ = FileManager.default.createFile(atPath: "\(path)/\(name)", contents: Data()) }
    }
    func names(_ folder: String = "") throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)").sorted()
    }
  }

  static func mask() throws -> JSONValue {
    let bits = BitMask(width: 3, height: 2, bits: [0, 1, 1, 0, 1, 0])
    let text = """
      {"id":0,"segmentation":{"size":[2,3],"counts":"\(RunLengthEncoding(bits).compressed)"},"area":3,"bbox":[1,0,1,1],
      "predicted_iou":0.96875,"stability_score":0.5,"point_coords":[[1.5,0.5]],"crop_box":[0,0,3,2]}
      """
    return try JSONValue(parsing: Array(text.utf8))
  }

  @Test func metadataIsTheReferencesTable() throws {
    let lines = MaskFolder.metadata([try Self.mask()]).split(separator: "\n")
    #expect(
      lines[0]
        == "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
    )
    #expect(lines[1] == "0,3,1,0,1,1,1.5,0.5,0.96875,0.5,0,0,3,2")
    #expect(lines.count == 2)
  }

  @Test(arguments: MaskFolder.Mode.allCases) func writesWholeOutputsOnly(_ mode: MaskFolder.Mode) throws {
    let scratch = try Scratch()
    let folder = try MaskFolder("\(scratch.path)/out", mode: mode)
    // What a run that was cut has left behind is no output.
    scratch.add("out/.cup.partial")
    #expect(!folder.holds("pictures/cup.jpg"))
    try folder.write([try Self.mask()], of: "pictures/cup.jpg")
    #expect(folder.holds("pictures/cup.jpg"))
    if mode == .binaryMask {
      #expect(try scratch.names("out") == ["cup"])
      #expect(try scratch.names("out/cup") == ["0.png", "metadata.csv"])
    } else {
      #expect(try scratch.names("out") == ["cup.json"])
    }
  }

  @Test func findsPicturesAndRefusesTwoOfOneName() throws {
    let scratch = try Scratch()
    scratch.add("b.JPG", "a.png", "notes.txt")
    #expect(
      try MaskFolder.pictures(at: scratch.path).map { URL(fileURLWithPath: $0).lastPathComponent } == [
        "a.png", "b.JPG",
      ])
    scratch.add("a.jpeg")
    #expect(throws: CommandError.self) { try MaskFolder.pictures(at: scratch.path) }
    #expect(throws: CommandError.self) { try MaskFolder.pictures(at: scratch.path + "/nothing") }
    let empty = try Scratch()
    #expect(throws: CommandError.self) { try MaskFolder.pictures(at: empty.path) }
  }
}
