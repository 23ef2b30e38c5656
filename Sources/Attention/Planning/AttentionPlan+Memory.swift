extension AttentionPlan {
  /// The most device memory taken at once, in bytes, over all devices. The reference takes none; the CPU backend works on the
  /// call's own tensors, and what it takes beside them counts.
  public var peakBytes: Int {
    parts.reduce(0) { bytes, part in
      switch part.work {
      case .reference: bytes
      case .cpu(let plan): bytes + plan.scratchBytes
      case .kernels(let plan): bytes + plan.peakBytes
      }
    }
  }
}
