@testable import pandion

extension FuzzedReader {
  /// The ground truth of `pandion eval`.
  static let annotations = FuzzedReader(
    name: "annotations", seeds: { [Array(example.utf8)] },
    words: [#""images":["#, #""annotations":["#, #""size":["#, "../", "null"],
    read: { _, path in
      let set = try EvaluationSet(folder: path.replacing("/annotations.json", with: ""))
      for instance in set.pictures.flatMap(\.instances) { _ = instance.mask.area }
    })

  private static let example = #"""
    {"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"id":1,"image_id":1,"segmentation":{"size":[9,7],
    "counts":";36000i0"},"category":"cup","caption":"a cup","parent":null,"unseen":true}]}
    """#
}
