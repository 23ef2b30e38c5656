extension Tensor {
  /// The elements as float32: exact for float16, bfloat16 and booleans (0 and 1), nearest for float64 and integers.
  public func floats() -> [Float] {
    withUnsafeBytes { bytes in
      switch elementType {
      case .float32: Array(bytes.bindMemory(to: Float.self))
      case .float16: bytes.bindMemory(to: UInt16.self).map(HalfPrecision.float(fromHalf:))
      case .bfloat16: bytes.bindMemory(to: UInt16.self).map(HalfPrecision.float(fromBrain:))
      case .float64: bytes.bindMemory(to: Double.self).map(Float.init)
      case .int32: bytes.bindMemory(to: Int32.self).map(Float.init)
      case .int64: bytes.bindMemory(to: Int64.self).map(Float.init)
      case .bool: bytes.map { $0 == 0 ? 0 : 1 }
      }
    }
  }

  /// The elements as float64: exact for every type but int64 past 2⁵³.
  public func doubles() -> [Double] {
    withUnsafeBytes { bytes in
      switch elementType {
      case .float64: Array(bytes.bindMemory(to: Double.self))
      case .int32: bytes.bindMemory(to: Int32.self).map(Double.init)
      case .int64: bytes.bindMemory(to: Int64.self).map(Double.init)
      case .float32, .float16, .bfloat16, .bool: floats().map(Double.init)
      }
    }
  }

  /// The elements as integers.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the type is not I32 or I64.
  public func integers() throws -> [Int] {
    try withUnsafeBytes { bytes in
      switch elementType {
      case .int32: return bytes.bindMemory(to: Int32.self).map(Int.init)
      case .int64: return bytes.bindMemory(to: Int64.self).map(Int.init)
      case .float32, .float16, .bfloat16, .float64, .bool:
        throw AttentionError.invalid(argument: "element type", found: elementType.rawValue, expected: "I32 or I64")
      }
    }
  }

  /// The same numbers stored as another floating-point type, rounded to nearest, ties to even.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the new type is not a floating-point one.
  public func converted(to elementType: ElementType) throws -> Tensor {
    switch elementType {
    case self.elementType: return self
    case .float64:
      return try Tensor(shape: shape, elementType: elementType) { bytes in
        _ = bytes.bindMemory(to: Double.self).update(fromContentsOf: doubles())
      }
    case .float16, .bfloat16:
      // Of what float32 does not hold, too: rounded twice to nearest it would not be the nearest.
      let isExact = [ElementType.float32, .float16, .bfloat16, .bool].contains(self.elementType)
      return try Tensor(isExact ? floats() : doubles().map(Float.roundedToOdd), shape: shape, as: elementType)
    case .float32, .int32, .int64, .bool: return try Tensor(floats(), shape: shape, as: elementType)
    }
  }

  /// Writes float32 values as `elementType`, which the caller has checked to be a floating-point type.
  package static func store(
    _ values: some Collection<Float>, to bytes: UnsafeMutableRawBufferPointer, as elementType: ElementType
  ) {
    switch elementType {
    case .float32: _ = bytes.bindMemory(to: Float.self).update(fromContentsOf: values)
    case .float64: _ = bytes.bindMemory(to: Double.self).update(fromContentsOf: values.lazy.map(Double.init))
    case .float16:
      _ = bytes.bindMemory(to: UInt16.self).update(fromContentsOf: values.lazy.map(HalfPrecision.half(from:)))
    case .bfloat16:
      _ = bytes.bindMemory(to: UInt16.self).update(fromContentsOf: values.lazy.map(HalfPrecision.brain(from:)))
    case .int32, .int64, .bool: break
    }
  }
}

extension Float {
  /// The nearer to 0 of the neighbours of a number that float32 does not hold, its last bit set: rounded once more, to fewer bits,
  /// that is the nearest to the number (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums").
  fileprivate static func roundedToOdd(_ value: Double) -> Float {
    let nearest = Float(value)
    guard !value.isNaN, Double(nearest) != value else { return nearest }
    let truncated = Double(nearest).magnitude > value.magnitude ? nearest.bitPattern - 1 : nearest.bitPattern
    return Float(bitPattern: truncated | 1)
  }
}
