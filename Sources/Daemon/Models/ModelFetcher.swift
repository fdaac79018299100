import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Brings a model's files to its folder: `FILE.partial` grows, is resumed where it stopped, checked, then renamed. A file
/// without a digest in the manifest is only known to have come whole, as long as the server says it is.
public struct ModelFetcher: Sendable {
  public let model: InstalledModel

  public init(_ model: InstalledModel) { self.model = model }

  /// Brings every file that is not here yet.
  ///
  /// - Parameter progress: called with a file, the bytes here and the bytes in all, 0 where nobody says.
  public func fetch(progress: @escaping @Sendable (String, Int, Int) -> Void) throws {
    // An index that has come names more.
    while let file = try model.absent.first {
      guard let text = file.url, let url = URL(string: text), ["http", "https"].contains(url.scheme) else {
        let archive = file.path + ".zip"
        let isPacked = model.manifest.files.contains { $0.path == archive }
        throw ModelError.unreadable(
          path: model.path(file.path),
          reason: isPacked ? "unpack \(archive) beside it" : "the manifest has no address to bring it from")
      }
      try fetch(file, from: url, progress: progress)
      guard try model.absent.first?.path != file.path else {
        throw ModelError.unreadable(
          path: model.path(file.path), reason: "it came, but not of the size that the manifest gives")
      }
    }
  }

  private func fetch(
    _ file: ModelManifest.File, from url: URL, progress: @escaping @Sendable (String, Int, Int) -> Void
  ) throws {
    let (target, partial) = (model.path(file.path), model.path(file.path) + ".partial")
    if !FileManager.default.fileExists(atPath: partial) {
      guard FileManager.default.createFile(atPath: partial, contents: nil) else {
        throw ModelError.unreadable(path: partial, reason: "it cannot be written")
      }
    }
    guard let handle = FileHandle(forWritingAtPath: partial) else {
      throw ModelError.unreadable(path: partial, reason: "it cannot be written")
    }
    let start = Int(try handle.seekToEnd())
    if file.size.map({ start < $0 }) ?? true {
      var request = URLRequest(url: url)
      request.timeoutInterval = 60
      if start > 0 { request.setValue("bytes=\(start)-", forHTTPHeaderField: "Range") }
      let download = Download(handle: handle, start: start, size: file.size) { progress(file.path, $0, $1) }
      let session = URLSession(configuration: .ephemeral, delegate: download, delegateQueue: nil)
      session.dataTask(with: request).resume()
      let failure = download.wait()
      session.finishTasksAndInvalidate()
      if let failure { throw ModelError.unreadable(path: url.absoluteString, reason: failure) }
    }
    try handle.close()
    if let expected = file.digest {
      let actual = try file.digest(ofFileAt: partial)
      guard actual == expected else {
        // Resuming a wrong file would never end.
        try? FileManager.default.removeItem(atPath: partial)
        throw ModelError.corrupt(path: target, expected: expected, actual: actual)
      }
    }
    try FileManager.default.moveItem(atPath: partial, toPath: target)
  }
}

/// One transfer into an open file. The session calls it on its own queue, one call at a time.
private final class Download: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  private let handle: FileHandle
  /// As the manifest has it.
  private let size: Int?
  /// As the server announces it, 0 if it does not.
  private var announced = 0
  private let progress: @Sendable (_ received: Int, _ total: Int) -> Void
  private let done = DispatchSemaphore(value: 0)
  private var received: Int
  private var isWhole = false
  private var failure: String?

  /// What a file of unknown size may have at most; the largest published Segment Anything has 2.6 GB.
  private static let limit = 1 << 34

  init(handle: FileHandle, start: Int, size: Int?, progress: @escaping @Sendable (Int, Int) -> Void) {
    (self.handle, self.received, self.size, self.progress) = (handle, start, size, progress)
  }

  /// Blocks until the transfer ends; what went wrong, if anything.
  func wait() -> String? {
    done.wait()
    return failure
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    let status = (response as? HTTPURLResponse)?.statusCode ?? 0
    if status == 200, received > 0 {
      // The server does not resume: begin again.
      received = 0
      try? handle.truncate(atOffset: 0)
    } else if status != 200, status != 206 {
      // A file of unknown size may be here whole but for its name: then there is nothing left to send.
      let range = (response as? HTTPURLResponse)?.value(forHTTPHeaderField: "Content-Range")
      isWhole = status == 416 && size == nil && range == "bytes */\(received)"
      if !isWhole { failure = "the server answers \(status)" }
      return completionHandler(.cancel)
    }
    announced = response.expectedContentLength > 0 ? received + Int(response.expectedContentLength) : 0
    completionHandler(.allow)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    received += data.count
    guard received <= size ?? Self.limit else {
      failure =
        size.map { "it is larger than the \($0) bytes that the manifest gives" }
        ?? "it is larger than \(Self.limit) bytes"
      return dataTask.cancel()
    }
    do {
      try handle.write(contentsOf: data)
    } catch {
      failure = error.localizedDescription
      return dataTask.cancel()
    }
    progress(received, size ?? announced)
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    if failure == nil, !isWhole { failure = error?.localizedDescription }
    done.signal()
  }
}
