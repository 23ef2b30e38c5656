/// Problems that are tuned together: what decides which tiles are best, coarsely.
package struct ProblemClass: Sendable, Hashable {
  /// What hides keys: by position nothing, those after a query, or those out of a window; or a tensor.
  package enum MaskKind: String, Sendable, Hashable {
    case open, causal, window, tensor
  }

  /// How long the sequences are.
  package enum Lengths: String, Sendable, Hashable {
    /// At most 16 queries.
    case few
    /// More queries, at most 1,024 keys.
    case short
    /// More keys.
    case long
  }

  package var family: KernelTiles.Family
  package var elementType: ElementType
  package var headDimension: Int
  package var valueDimension: Int
  package var mask: MaskKind
  package var lengths: Lengths

  package init(
    family: KernelTiles.Family, elementType: ElementType, headDimension: Int, valueDimension: Int, mask: MaskKind,
    lengths: Lengths
  ) {
    self.family = family
    self.elementType = elementType
    self.headDimension = headDimension
    self.valueDimension = valueDimension
    self.mask = mask
    self.lengths = lengths
  }

  /// The class of a problem when a family of kernels computes it.
  package init(_ problem: AttentionProblem, _ family: KernelTiles.Family) {
    // What the mask limits is the same for every sequence.
    let hidesFirst = problem.sequences.first.map { $0.firstShift != -AttentionSequence.unlimited } ?? false
    let hidesLast = problem.sequences.first.map { $0.endShift != AttentionSequence.unlimited } ?? false
    let mask: MaskKind =
      if problem.mask != nil || problem.blockMask != nil {
        .tensor
      } else {
        hidesFirst ? .window : hidesLast ? .causal : .open
      }
    self.init(
      family: family, elementType: problem.elementType, headDimension: problem.headDimension,
      valueDimension: problem.valueDimension, mask: mask,
      lengths: problem.queryLength <= 16 ? .few : problem.keyLength <= 1024 ? .short : .long)
  }
}

extension ProblemClass: CustomStringConvertible {
  package var description: String {
    "\(family.rawValue) \(elementType.rawValue) D\(headDimension)/\(valueDimension) \(mask.rawValue) \(lengths.rawValue)"
  }
}
