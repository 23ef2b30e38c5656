// From a product of query and key to a score: scale, softcap, ALiBi, mask, in the order in which the operation is
// defined, and the visibility of a key. The one place where they are computed.
//
// Scores are modified SCORE_WIDTH neighbouring keys at a time: WIDE(float) is float8 where that is 8, and float where it
// is 1.

#ifndef SCORE_WIDTH
#define SCORE_WIDTH 4
#endif

#if SCORE_WIDTH == 1
#define WIDE(name) name
#define LOAD_WIDE(from) (*(from))
#define LOAD_WIDE_HALF(from) vload_half(0, from)
#define LANES 0
#else
#define WIDE(name) PASTE(name, SCORE_WIDTH)
#define LOAD_WIDE(from) WIDE(vload)(0, from)
#define LOAD_WIDE_HALF(from) WIDE(vload_half)(0, from)
#if SCORE_WIDTH == 2
#define LANES (int2)(0, 1)
#elif SCORE_WIDTH == 4
#define LANES (int4)(0, 1, 2, 3)
#elif SCORE_WIDTH == 8
#define LANES (int8)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LANES (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#endif
#endif

enum { MASK_NONE = 0, MASK_BOOL = 1, MASK_FLOAT32 = 2, MASK_FLOAT16 = 3, MASK_BFLOAT16 = 4 };

typedef struct {
  float scale;
  float softcap;  // 0: none
  int mask_kind;
  int first_row;  // the mask on the device begins with this query: the slice's first
  long mask_query_stride, mask_key_stride;  // the latter 0 or 1
  __global const uchar *mask;               // with SCORE_WIDTH elements of anything after the last
} Modifiers;

static long mask_offset(const Modifiers m, const Head head, int i, int j) {
  return head.mask + (i - m.first_row) * m.mask_query_stride + j * m.mask_key_stride;
}

// What the mask adds to the score of query i and key j; −∞ hides the key.
SHARED float mask_bias(const Modifiers m, const Head head, int i, int j) {
  const long at = mask_offset(m, head, i, j);
  switch (m.mask_kind) {
    case MASK_BOOL: return m.mask[at] ? 0.0f : -INFINITY;
    case MASK_FLOAT32: return ((__global const float *)m.mask)[at];
    case MASK_FLOAT16: return vload_half(at, (__global const half *)m.mask);
    case MASK_BFLOAT16: return float_from_brain(((__global const ushort *)m.mask)[at]);
    default: return 0.0f;
  }
}

// The same for the keys j, j + 1, …
SHARED WIDE(float) mask_biases(const Modifiers m, const Head head, int i, int j) {
#if SCORE_WIDTH > 1
  if (m.mask_kind != MASK_NONE && m.mask_key_stride != 0) {
    const long at = mask_offset(m, head, i, j);
    switch (m.mask_kind) {
      case MASK_BOOL:
        return select((WIDE(float))-INFINITY, (WIDE(float))0.0f, WIDE(convert_int)(LOAD_WIDE(m.mask + at)) != 0);
      case MASK_FLOAT32: return LOAD_WIDE((__global const float *)m.mask + at);
      case MASK_FLOAT16: return LOAD_WIDE_HALF((__global const half *)m.mask + at);
      default: return WIDE(as_float)(WIDE(convert_uint)(LOAD_WIDE((__global const ushort *)m.mask + at)) << 16);
    }
  }
#endif
  return mask_bias(m, head, i, j);
}

SHARED bool is_visible(const Modifiers m, const Head head, int i, int j) {
  return j >= first_visible(head, i) && j < end_visible(head, i) && mask_bias(m, head, i, j) != -INFINITY;
}

// The scores of query i and the keys j, j + 1, … from their products; −∞ where a key is hidden, whatever the product
// was. `visible` is true (1 of one key, −1 of several, as comparisons are) for a key that is not hidden.
SHARED WIDE(float) modified_scores(const Modifiers m, const Head head, int i, int j, WIDE(float) product,
                                   WIDE(int) *visible) {
  const WIDE(int) key = (WIDE(int))j + LANES;
  // (Past the last visible key the mask may have no memory.)
  const WIDE(float) bias = j < end_visible(head, i) ? mask_biases(m, head, i, j) : (WIDE(float))-INFINITY;
  WIDE(float) s = product * m.scale;
  if (m.softcap > 0.0f) s = m.softcap * tanh(s / m.softcap);
  if (head.slope != 0.0f) s -= head.slope * WIDE(convert_float)(abs((WIDE(int))(i + head.offset) - key));
  *visible = key >= first_visible(head, i) && key < end_visible(head, i) && bias != -INFINITY;
  return select((WIDE(float))-INFINITY, s + bias, *visible);
}

// How much of a rectangle of the score matrix is visible: nothing, everything, or to be asked pair by pair.
enum { TILE_HIDDEN = 0, TILE_OPEN = 1, TILE_MIXED = 2 };

// By position, of the rows i0 … i0 + rows − 1 and the keys j0 … j0 + keys − 1.
SHARED int position_visibility(const Head head, int i0, int rows, int j0, int keys) {
  const int last = i0 + rows - 1;
  if (j0 >= end_visible(head, last) || j0 + keys <= first_visible(head, i0)) return TILE_HIDDEN;
  return j0 >= first_visible(head, last) && j0 + keys <= end_visible(head, i0) ? TILE_OPEN : TILE_MIXED;
}

// By position and by what classify_mask found of the tile (TILE_OPEN where there is no mask).
SHARED int tile_visibility(const Head head, int i0, int rows, int j0, int keys, int mask_class) {
  const int position = position_visibility(head, i0, rows, j0, keys);
  if (position == TILE_HIDDEN || mask_class == TILE_HIDDEN) return TILE_HIDDEN;
  return position == TILE_OPEN && mask_class == TILE_OPEN ? TILE_OPEN : TILE_MIXED;
}
