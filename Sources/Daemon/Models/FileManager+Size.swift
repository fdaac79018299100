import Foundation

extension FileManager {
  /// A file's size in bytes, or nil if there is none.
  public func size(ofFileAt path: String) -> Int? {
    ((try? attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue
  }
}
