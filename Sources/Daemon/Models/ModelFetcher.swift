import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Brings a model's files to its folder: `FILE.partial` grows, is resumed where it stopped, checked, then renamed.
public struct ModelFetcher: Sendable {
  public let model: InstalledModel

  public init(_ model: InstalledModel) { self.model = model }

  /// Brings every file that is not here yet.
  ///
  /// - Parameter progress: called with a file, the bytes here and the bytes in all.
  public func fetch(progress: @escaping @Sendable (String, Int, Int) -> Void) throws {
    for file in model.manifest.files where model.missing.contains(file.path) {
      guard let text = file.url, let url = URL(string: text), ["http", "https"].contains(url.scheme) else {
        throw ModelError.unreadable(path: model.path(file.path), reason: "the manifest has no address to bring it from")
      }
      try fetch(file, from: url, progress: progress)
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
    if start < file.size {
      var request = URLRequest(url: url)
      request.timeoutInterval = 60
      if start > 0 { request.setValue("bytes=\(start)-", forHTTPHeaderField: "Range") }
      let download = Download(handle: handle, start: start, limit: file.size) { progress(file.path, $0, file.size) }
      let session = URLSession(configuration: .ephemeral, delegate: download, delegateQueue: nil)
      session.dataTask(with: request).resume()
      let failure = download.wait()
      session.finishTasksAndInvalidate()
      if let failure { throw ModelError.unreadable(path: url.absoluteString, reason: failure) }
    }
    try handle.close()
    let actual = try FileDigest.sha256(path: partial)
    guard actual == file.sha256 else {
      // Resuming a wrong file would never end.
      try? FileManager.default.removeItem(atPath: partial)
      throw ModelError.corrupt(path: target, expected: file.sha256, actual: actual)
    }
    try FileManager.default.moveItem(atPath: partial, toPath: target)
  }
}

/// One transfer into an open file. The session calls it on its own queue, one call at a time.
private final class Download: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  private let handle: FileHandle
  private let limit: Int
  private let progress: @Sendable (Int) -> Void
  private let done = DispatchSemaphore(value: 0)
  private var received: Int
  private var failure: String?

  init(handle: FileHandle, start: Int, limit: Int, progress: @escaping @Sendable (Int) -> Void) {
    (self.handle, self.received, self.limit, self.progress) = (handle, start, limit, progress)
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
      failure = "the server answers \(status)"
    }
    completionHandler(failure == nil ? .allow : .cancel)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    received += data.count
    guard received <= limit else {
      failure = "it is larger than the \(limit) bytes that the manifest gives"
      return dataTask.cancel()
    }
    do {
      try handle.write(contentsOf: data)
    } catch {
      failure = error.localizedDescription
      return dataTask.cancel()
    }
    progress(received)
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    if failure == nil { failure = error?.localizedDescription }
    done.signal()
  }
}
