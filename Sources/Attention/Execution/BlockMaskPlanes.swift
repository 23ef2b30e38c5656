import OpenCL

/// The block mask of some heads as the kernels see it: for each head a dense plane of `rows × columns` bytes, each
/// distinct plane once, one after the other.
struct BlockMaskPlanes {
  private let tensor: Tensor
  private let layout: BlockMaskLayout
  private var planes = DistinctPlanes()

  init?(_ mask: BlockMask?, _ layout: BlockMaskLayout?) {
    guard let mask, let layout else { return nil }
    tensor = mask.visible
    self.layout = layout
  }

  var byteCount: Int { planes.starts.count * layout.planeElements }

  /// Where the plane of a head begins on the device. A plane that is new joins the others.
  mutating func offset(batch b: Int, head h: Int) -> Int {
    planes.place(of: layout.grid.offset(batch: b, head: h)) * layout.planeElements
  }

  /// Starts the transfer to the device. The storage returned must live until it is done.
  func enqueueWrite(_ queue: CommandQueue, to buffer: Buffer) throws -> TensorStorage? {
    guard byteCount > 0 else { return nil }
    return try queue.enqueueWrite(elements(), to: buffer)
  }

  /// The planes, one after the other.
  func elements() -> [UInt8] {
    planes.starts.flatMap { start in
      (0..<layout.rows).flatMap { row in
        (0..<layout.columns).map { column in
          tensor.storage.bytes[start + row * layout.grid.queryStride + column * layout.grid.keyStride]
        }
      }
    }
  }
}
