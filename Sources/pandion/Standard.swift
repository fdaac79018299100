import Foundation

/// Where text goes: results to standard output, everything else to standard error.
enum Standard {
  static func output(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
  static func error(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}

/// The version that `pandion --version` and `hello` give.
enum Version { static let current = "0.1.0" }
