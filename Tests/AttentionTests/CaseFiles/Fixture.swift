import Foundation
import Testing

/// The files that come with the tests.
enum Fixture {
  /// The names, without their ending, of the safetensors files of a folder.
  static func names(in folder: String) -> [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: path(folder))) ?? []
    return files.filter { $0.hasSuffix(ending) }.map { String($0.dropLast(ending.count)) }.sorted()
  }

  static func path(_ folder: String, _ name: String) -> String { path(folder) + "/" + name + ending }

  private static let ending = ".safetensors"

  private static func path(_ folder: String) -> String {
    Bundle.module.bundleURL.appendingPathComponent("Fixtures").appendingPathComponent(folder).path
  }
}
