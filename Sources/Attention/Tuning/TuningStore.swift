import Foundation
import OpenCL

/// Where tiles that `attend tune` found are kept between processes: beside the built programs, a file for each device and
/// driver.
///
/// A store never makes a call fail: a file that is damaged, of another device or writable by others is as good as none,
/// and an engine's `notice` is told why.
public enum TuningStore: Sendable, Hashable {
  /// The user's own, in the folder where built programs are kept: none if the environment's `ATTENTION_TUNING` or
  /// `ATTENTION_CACHE` is `off`.
  case standard

  /// A folder of the caller's choice, made when something is written to it.
  case directory(String)

  /// None: tiles come from the tables.
  case none

  private var cache: ProgramCache {
    switch self {
    case .standard: ProcessInfo.processInfo.environment["ATTENTION_TUNING"] == "off" ? .none : .standard
    case .directory(let path): .directory(path)
    case .none: .none
    }
  }

  /// The path of a device's file; nil where nothing is kept.
  package func path(of device: DeviceInfo) -> String? {
    cache.path.map { "\($0)/\(TuningFile(device).name)" }
  }

  /// A device's file, empty where there is none; and why one that is there counts for nothing.
  package func file(of device: DeviceInfo) -> (file: TuningFile, problem: String?) {
    let empty = TuningFile(device)
    let reason: String
    do {
      guard let text = try cache.text(named: empty.name) else { return (empty, nil) }
      return (try TuningFile(text, of: device), nil)
    } catch let damage as TuningFile.Damage {
      reason = damage.reason
    } catch let unusable as ProgramCache.UnusableFile {
      reason = unusable.reason
    } catch {
      reason = "\(error)"
    }
    return (empty, "\(path(of: device) ?? ""): tuning is ignored: \(reason)")
  }

  /// The tiles that were tuned on a device; and what is to be said of those that count for nothing.
  package func table(of device: DeviceInfo) -> (table: TuningTable, notice: String?) {
    let (file, problem) = file(of: device)
    let stale = file.staleRows
    let notice =
      stale == 0
      ? nil
      : "\(path(of: device) ?? ""): \(stale) of \(file.rows.count) rows are of other kernels; 'attend tune' makes them anew"
    return (file.table(vendor: DeviceVendor(device)), problem ?? notice)
  }

  /// Keeps a row with those that are there; whether that worked. Rows of other kernels are dropped.
  package func add(_ row: TuningFile.Row, of device: DeviceInfo) -> Bool {
    var file = TuningFile(device)
    for old in self.file(of: device).file.rows where old.kernels == old.problem.family.kernelDigest { file.add(old) }
    file.add(row)
    return cache.write(file.text, named: file.name)
  }
}
