/// Where the rows of one operand lie in its tensor, in elements: row `i` of head `h` of batch entry `b` begins at
/// `base + b·batchStride + h·headStride + i·rowStride`, and its elements follow one another.
package struct RowLayout: Sendable, Equatable {
  package var base = 0
  package var batchStride: Int
  package var headStride: Int
  package var rowStride: Int

  package func offset(batch: Int, head: Int, row: Int) -> Int {
    base + batch * batchStride + head * headStride + row * rowStride
  }

  /// The layout of a tensor with `heads` heads of `rows` rows (a batch entry) of `width` elements.
  package init(_ layout: TensorLayout, heads: Int, rows: Int, width: Int) {
    switch layout {
    case .bhsd: self.init(batchStride: heads * rows * width, headStride: rows * width, rowStride: width)
    case .bshd: self.init(batchStride: heads * rows * width, headStride: width, rowStride: heads * width)
    case .thd: self.init(batchStride: 0, headStride: width, rowStride: heads * width)
    }
  }

  package init(base: Int = 0, batchStride: Int, headStride: Int, rowStride: Int) {
    self.base = base
    self.batchStride = batchStride
    self.headStride = headStride
    self.rowStride = rowStride
  }
}

/// Rows of one operand that stand at equal distances in one tensor.
package struct RowRun: Sendable, Equatable {
  /// Which of the call's tensors the rows are in.
  package enum Source: Sendable, Equatable { case own, past }

  package var source: Source = .own
  /// The first row's first element.
  package var offset: Int
  /// Elements from one row to the next.
  package var rowStride: Int
  package var rowCount: Int
}
