@testable import pandion

extension FuzzedReader {
  /// The file of `pandion serve --config`, whose YAML is another's code.
  static let configuration = FuzzedReader(
    name: "configuration",
    seeds: {
      [
        "endpoint: [tcp://a:1, \"b\"]\nqueue: 7\ninsecure: yes\nlabeler: >-\n  x\n", "queue: &a 1\nkeys: *a\n",
        "? a\n: !!int '1'\n--- \n",
      ].map { Array($0.utf8) }
    },
    words: [
      "&a ", "*a", "<<: ", "!!binary ", "!<", "%TAG ! x", "---\n", "...\n", "? ", "- ", "|2-\n", "{", "]", "\u{85}",
      "\u{feff}", "queue: ",
    ],
    read: { input, path in
      guard let text = String(validating: input, as: UTF8.self) else { return }
      _ = try ServeFile(text, path: path).arguments(before: [])
    })
}
