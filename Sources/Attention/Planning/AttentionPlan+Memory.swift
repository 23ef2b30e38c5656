extension AttentionPlan {
  /// The most device memory taken at once, in bytes, over all devices. The reference takes none.
  public var peakBytes: Int {
    parts.reduce(0) { bytes, part in
      switch part.work {
      case .reference: bytes
      case .kernels(let plan): bytes + plan.peakBytes
      }
    }
  }
}
