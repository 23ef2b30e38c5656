import Attention
import FoundationEssentials

/// What the metadata entry `cache` of a cache file says, as JSON.
private struct CacheDescription: Codable {
  var batch: Int
  var heads: Int
  var headDimension: Int
  var options: KVCache.Options
  /// Of each sequence.
  var lengths: [Int]
  var forgotten: [Int]

  static let key = "cache"
}

extension KVCache {
  /// Writes what the cache holds to a safetensors file, in its own storage: nothing is rounded.
  ///
  /// For each sequence `b` the tensors `key.b` and `value.b`, `[Hkv, L, ·]`; in quantised storage `key.b.quants`, I32 words
  /// of four bytes, and `key.b.scales`, F16. The metadata entry `cache` holds the options. The file appears whole or not at
  /// all.
  ///
  /// - Throws: ``TensorFileError`` where the file cannot be written, and the device's errors.
  public func save(to path: String) throws {
    var tensors: [String: Tensor] = [:]
    var (lengths, forgotten) = ([Int](), [Int]())
    for b in 0..<batch {
      let contents = try contents(of: b)
      lengths.append(contents.length)
      forgotten.append(contents.forgotten)
      let rows = CacheRows(options.storage, heads: heads, length: contents.length)
      try rows.write(contents.key, width: headDimension, named: "key.\(b)", to: &tensors)
      if !options.valuesAreKeys {
        try rows.write(contents.value, width: valueDimension, named: "value.\(b)", to: &tensors)
      }
      if !contents.sinkKeys.isEmpty {
        tensors["sink_keys.\(b)"] = try Tensor(
          contents.sinkKeys.flatMap { $0 }, shape: [contents.sinkKeys.count, heads, headDimension])
      }
    }
    let description = CacheDescription(
      batch: batch, heads: heads, headDimension: headDimension, options: options, lengths: lengths,
      forgotten: forgotten)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let json = String(decoding: try encoder.encode(description), as: UTF8.self)
    try Safetensors.write(tensors, metadata: [CacheDescription.key: json], to: path)
  }
}

extension AttentionEngine {
  /// Makes a cache of a file that ``KVCache/save(to:)`` wrote, on this engine's device.
  ///
  /// - Throws: ``TensorFileError`` for a file that is no cache's or does not fit together, and the device's errors.
  public func loadKVCache(from path: String) throws -> KVCache {
    let file = try Safetensors(path: path)
    let part = TensorFileError.Part.metadata(CacheDescription.key)
    guard let json = file.metadata[CacheDescription.key] else {
      throw TensorFileError(file: path, part: part, found: "none", expected: "the description of a cache")
    }
    guard let description = try? JSONDecoder().decode(CacheDescription.self, from: Data(json.utf8)) else {
      throw TensorFileError(
        file: path, part: part, found: json, expected: "batch, heads, headDimension, options, lengths and forgotten")
    }
    guard description.lengths.count == description.batch, description.forgotten.count == description.batch else {
      throw TensorFileError(
        file: path, part: part, found: "\(description.lengths.count) lengths, \(description.forgotten.count) forgotten",
        expected: "\(description.batch) of each")
    }
    do {
      let options = description.options
      let cache = try makeKVCache(
        batch: description.batch, heads: description.heads, headDimension: description.headDimension,
        storage: options.storage, options: options)
      for b in 0..<description.batch {
        let rows = CacheRows(options.storage, heads: cache.heads, length: description.lengths[b])
        let key = try rows.read(width: cache.headDimension, named: "key.\(b)", from: file)
        let value =
          options.valuesAreKeys ? [] : try rows.read(width: cache.valueDimension, named: "value.\(b)", from: file)
        let sinks = "sink_keys.\(b)"
        try cache.restore(
          Contents(
            length: description.lengths[b], forgotten: description.forgotten[b],
            sinkKeys: file[sinks] == nil ? [] : try Self.rows(file.tensor(sinks)), key: key, value: value),
          to: b)
      }
      return cache
    } catch AttentionError.invalid(let argument, let found, let expected) {
      throw TensorFileError(file: path, part: .argument(argument), found: found, expected: expected)
    }
  }

  private typealias Contents = KVCache.Contents

  /// The rows along a tensor's first dimension.
  private static func rows(_ tensor: Tensor) throws -> [[Float]] {
    let (elements, count) = (tensor.floats(), tensor.shape.first ?? 0)
    return (0..<count).map { Array(elements[$0 * elements.count / count..<($0 + 1) * elements.count / count]) }
  }
}

/// Rows of a cache as tensors, and back.
private struct CacheRows {
  let storage: KVCacheStorage
  let heads: Int
  let length: Int

  init(_ storage: KVCacheStorage, heads: Int, length: Int) {
    self.storage = storage
    self.heads = heads
    self.length = length
  }

  private var elementType: ElementType {
    switch storage {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .q8_0, .q4_0: .int32
    }
  }

  /// Bytes of a quantised row before its scales.
  private func quantBytes(_ width: Int) -> Int { storage == .q8_0 ? width : width / 2 }

  func write(_ bytes: [UInt8], width: Int, named name: String, to tensors: inout [String: Tensor]) throws {
    guard storage.isQuantized else {
      tensors[name] = try tensor(bytes, [heads, length, width], elementType)
      return
    }
    let (row, quants) = (storage.rowBytes(width), quantBytes(width))
    var (parts, scales) = ([UInt8](), [UInt8]())
    for start in stride(from: 0, to: bytes.count, by: row) {
      parts += bytes[start..<start + quants]
      scales += bytes[start + quants..<start + row]
    }
    tensors[name + ".quants"] = try tensor(parts, [heads, length, quants / 4], .int32)
    tensors[name + ".scales"] = try tensor(scales, [heads, length, width / 32], .float16)
  }

  func read(width: Int, named name: String, from file: Safetensors) throws -> [UInt8] {
    guard storage.isQuantized else { return try bytes(name, [heads, length, width], elementType, file) }
    let (row, quants) = (storage.rowBytes(width), quantBytes(width))
    let parts = try bytes(name + ".quants", [heads, length, quants / 4], .int32, file)
    let scales = try bytes(name + ".scales", [heads, length, width / 32], .float16, file)
    var rows: [UInt8] = []
    rows.reserveCapacity(parts.count + scales.count)
    for n in 0..<heads * length {
      rows += parts[n * quants..<(n + 1) * quants]
      rows += scales[n * (row - quants)..<(n + 1) * (row - quants)]
    }
    return rows
  }

  private func tensor(_ bytes: [UInt8], _ shape: [Int], _ elementType: ElementType) throws -> Tensor {
    try Tensor(shape: shape, elementType: elementType) { $0.copyBytes(from: bytes) }
  }

  private func bytes(
    _ name: String, _ shape: [Int], _ elementType: ElementType, _ file: Safetensors
  ) throws -> [UInt8] {
    let tensor = try file.tensor(name)
    guard tensor.shape == shape, tensor.elementType == elementType else {
      throw TensorFileError(
        file: file.path, part: .tensor(name), found: "\(tensor.elementType.rawValue) \(tensor.shape)",
        expected: "\(elementType.rawValue) \(shape)")
    }
    return tensor.withUnsafeBytes { Array($0) }
  }
}
