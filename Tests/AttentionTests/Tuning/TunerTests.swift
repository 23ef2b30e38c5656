import Attention
import AttentionTestSupport
import Foundation
import OpenCL
import Synchronization
import Testing

/// Tuning on a device, and what an engine makes of what was found.
@Suite("Tuning on a device")
struct TunerTests {
  /// Those with kernels to choose from.
  static func call(_ queries: Int) throws -> AttentionCall {
    try CallShape(heads: 2, keyHeads: 1, queries: queries, keys: queries, D: 16).call().inOnePass(true)
  }

  static func tuner(_ device: TestDevice) throws -> Tuner {
    let engine = try AttentionEngine(device: .named([device.name]), tuning: .none)
    return try Tuner(engine, kernel: .auto, call: try call(64), ragged: try call(37), minimumSeconds: 0)
  }

  @Test("Candidates that are right are timed, and a broken one is not", arguments: TestDevice.openCL)
  func broken(device: TestDevice) throws {
    var tuner = try Self.tuner(device)
    let fitting = tuner.neighbours(tuner.start).filter(tuner.fits)
    let good = try #require(fitting.first)
    guard case .ratio(let ratio) = try tuner.time(good, against: tuner.start) else {
      Issue.record("\(good) should be right")
      return
    }
    #expect(ratio > 0)
    tuner.alter = { tiles, result in
      guard tiles == good, let output = result.output else { return result }
      var result = result
      result.output = try? Tensor(output.floats().map { $0 + 0.001 }, shape: output.shape)
      return result
    }
    guard case .wrong(let error) = try tuner.time(good, against: tuner.start) else {
      Issue.record("an error of 0.001 should be noticed")
      return
    }
    #expect(abs(error - 0.001) < 1e-4)
    // What is broken is no better for being the first to be tried.
    let broken = tuner
    var search = TileSearch(from: tuner.start, fits: { $0 == good }, time: { try broken.time($0, against: $1) })
    search.mostTrials = 1
    let found = try search.run(hints: [good], neighbours: tuner.neighbours)
    #expect(found.tiles == tuner.start)
    guard case .wrong? = found.trials.first?.timing else {
      Issue.record("the broken tiles should have been tried")
      return
    }
  }

  @Test("The reference has nothing to tune")
  func reference() throws {
    let engine = try AttentionEngine(device: .named(["reference"]))
    #expect(throws: AttentionError.self) {
      try Tuner(engine, kernel: .auto, call: try Self.call(5), ragged: try Self.call(3), minimumSeconds: 0)
    }
  }

  @Test("An engine reads a store, and computes right with what it finds", arguments: TestDevice.openCL)
  func store(device: TestDevice) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "tuning-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = TuningStore.directory(folder.path)
    let notices = Mutex<[String]>([])
    func engine() throws -> AttentionEngine {
      try AttentionEngine(device: .named([device.name]), tuning: store) { text in
        notices.withLock { $0.append(text) }
      }
    }
    let call = try Self.call(64)
    let problem = try AttentionProblem(call)
    func plan() throws -> (tiles: KernelTiles, tuned: Bool) {
      let part = try #require(try engine().plan(problem).parts.first)
      guard case .kernels(let plan) = part.work else { throw AttentionError.noDevice(requested: "", available: []) }
      return (plan.tiles, plan.tilesAreTuned)
    }
    let table = try plan()
    #expect(!table.tuned)
    let profile = try #require(try engine().devices.first)
    let info = try #require(try engine().roster.openCLDevice(device.name)).info
    let other = try #require(table.tiles.neighbours(on: profile).first { $0.fit(problem, profile) })
    let row = TuningFile.Row(ProblemClass(problem, try #require(other.family)), other, ratio: 0.9)
    #expect(store.add(row, of: info))
    #expect(try plan() == (other, true))
    #expect(try Expectation(call).misses(try engine().attention(call)) == [])
    #expect(notices.withLock { $0 } == [])

    // A second class joins the first; a row of other kernels makes room, and until then is told of.
    var second = row
    second.problem.lengths = .long
    #expect(store.add(second, of: info))
    #expect(store.file(of: info).file.rows == [row, second])
    let path = try #require(store.path(of: info))
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let stale = text.replacing(row.kernels, with: String(row.kernels.reversed()))
    try stale.write(toFile: path, atomically: false, encoding: .utf8)
    #expect(try plan() == table)
    #expect(notices.withLock { $0.count == 1 && $0[0].contains("2 of 2 rows are of other kernels") })
    #expect(store.add(second, of: info))
    #expect(store.file(of: info).file.rows == [second])

    // A damaged file counts for nothing; the next row begins a new one.
    notices.withLock { $0 = [] }
    try String(text.dropLast(9)).write(toFile: path, atomically: false, encoding: .utf8)
    #expect(try plan() == table)
    #expect(notices.withLock { $0.count == 1 && $0[0].hasPrefix("\(path): tuning is ignored: found '") })
    #expect(store.add(row, of: info))
    #expect(store.file(of: info).file.rows == [row])
    #expect(try plan() == (other, true))
  }

  @Test("There is no place to keep tiles without a store")
  func none() throws {
    let row = TuningFile.Row(TuningFileTests.problem, try TuningFileTests.tiles()[2].1, ratio: 1)
    #expect(!TuningStore.none.add(row, of: TuningFileTests.device))
    #expect(TuningStore.none.path(of: TuningFileTests.device) == nil)
    #expect(TuningStore.none.table(of: TuningFileTests.device).table == TuningTable())
  }
}
