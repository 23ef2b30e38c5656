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
#define LOAD_WIDE_HALF(from) vload_half(0, from)
#define LANES 0
#else
#define WIDE(name) PASTE(name, SCORE_WIDTH)
// Neighbours from any element on.
#ifdef POCL_DEVICE_ADDRESS_BITS
// (PoCL compiles vload16 to a load for every two floats, and joins them.)
typedef WIDE(float) wide_float __attribute__((aligned(4)));
typedef WIDE(ushort) wide_ushort __attribute__((aligned(2)));
typedef WIDE(char) wide_char __attribute__((aligned(1)));
typedef WIDE(uchar) wide_uchar __attribute__((aligned(1)));
#define LOAD_WIDE(type, from) (*(__global const wide_##type *)(from))
#else
#define LOAD_WIDE(type, from) WIDE(vload)(0, (__global const type *)(from))
#endif
#if SCORE_WIDTH == 16 && defined(__AVX512F__)
// (PoCL's vload_half16 converts eight at a time and joins them.)
#define FLOATS_OF_HALVES(bits) __builtin_ia32_vcvtph2ps512_mask(as_short16(bits), (float16)0.0f, 0xffff, 4)
#define LOAD_WIDE_HALF(from) FLOATS_OF_HALVES(LOAD_WIDE(ushort, from))
#else
#define LOAD_WIDE_HALF(from) WIDE(vload_half)(0, from)
#endif
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
  uint mask_query_stride;                   // 0, or the mask's keys
  uint mask_key_stride;                     // 0 or 1
  __global const uchar *mask;               // with SCORE_WIDTH elements of anything after the last
  uint query_block, key_block;              // rows and keys of a block of the block mask; 0: there is none
  uint block_columns;                       // blocks of a row of blocks
  __global const uchar *block_mask;
} Modifiers;

static long mask_offset(const Modifiers m, const Head head, int i, int j) {
  return head.mask + (ulong)(i - m.first_row) * m.mask_query_stride + j * m.mask_key_stride;
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
        return select((WIDE(float))-INFINITY, (WIDE(float))0.0f, WIDE(convert_int)(LOAD_WIDE(uchar, m.mask + at)) != 0);
      case MASK_FLOAT32: return LOAD_WIDE(float, m.mask + 4 * at);
      case MASK_FLOAT16: return LOAD_WIDE_HALF((__global const half *)m.mask + at);
      default: return WIDE(as_float)(WIDE(convert_uint)(LOAD_WIDE(ushort, m.mask + 2 * at)) << 16);
    }
  }
#endif
  return mask_bias(m, head, i, j);
}

SHARED bool block_is_open(const Modifiers m, const Head head, int row, int column) {
  return m.block_mask[head.block_mask + (long)row * m.block_columns + column] != 0;
}

SHARED bool in_hidden_block(const Modifiers m, const Head head, int i, int j) {
  return m.query_block != 0 && !block_is_open(m, head, i / m.query_block, j / m.key_block);
}

// What hidden blocks take from the scores of query i and the keys j, j + 1, …: 0, or −∞.
SHARED WIDE(float) block_biases(const Modifiers m, const Head head, int i, int j) {
#if SCORE_WIDTH == 1
  return in_hidden_block(m, head, i, j) ? -INFINITY : 0.0f;
#else
  const int last = min(j + SCORE_WIDTH, head.key_length) - 1;
  if (j / m.key_block == last / m.key_block) return in_hidden_block(m, head, i, j) ? -INFINITY : 0.0f;
  float bias[SCORE_WIDTH];
  for (int e = 0; e < SCORE_WIDTH; e++)
    bias[e] = j + e <= last && in_hidden_block(m, head, i, j + e) ? -INFINITY : 0.0f;
  return WIDE(vload)(0, bias);
#endif
}

SHARED bool is_visible(const Modifiers m, const Head head, int i, int j) {
  return j >= first_visible(head, i) && j < end_visible(head, i) && !in_hidden_block(m, head, i, j) &&
         mask_bias(m, head, i, j) != -INFINITY;
}

// The scores of query i and the keys j, j + 1, … from their products; −∞ where a key is hidden, whatever the product
// was. `visible` is true (1 of one key, −1 of several, as comparisons are) for a key that is not hidden.
SHARED WIDE(float) modified_scores(const Modifiers m, const Head head, int i, int j, WIDE(float) product,
                                   WIDE(int) *visible) {
  const WIDE(int) key = (WIDE(int))j + LANES;
  // (Past the last visible key the mask may have no memory.)
  WIDE(float) bias = j < end_visible(head, i) ? mask_biases(m, head, i, j) : (WIDE(float))-INFINITY;
  if (m.query_block != 0 && j < end_visible(head, i)) bias += block_biases(m, head, i, j);
  WIDE(float) s = product * m.scale;
  if (m.softcap > 0.0f) s = m.softcap * tanh(s / m.softcap);
  if (head.slope != 0.0f) s -= head.slope * WIDE(convert_float)(abs((WIDE(int))(i + head.offset) - key));
  *visible = key >= first_visible(head, i) && key < end_visible(head, i) && bias != -INFINITY;
  return select((WIDE(float))-INFINITY, s + bias, *visible);
}

// Whether a visible score is a product times the scale, but for what a mask adds.
SHARED bool only_scales(float softcap, float slope) { return !(softcap > 0.0f) && slope == 0.0f; }

// Whether a score is a product times the scale or hidden, whatever the tile: then products can wait for their scale. (One that
// vanished would make NaN of −∞.)
SHARED bool only_hides(const Modifiers m, const Head head) {
  const bool adds = m.mask_kind != MASK_NONE && m.mask_kind != MASK_BOOL;
  return only_scales(m.softcap, head.slope) && !adds && m.scale > 1e-30f;
}

// How much of a rectangle of the score matrix is visible: nothing, everything, or to be asked pair by pair.
enum { TILE_HIDDEN = 0, TILE_OPEN = 1, TILE_MIXED = 2 };

// By position, of the rows i0 … i0 + rows − 1 and the keys j0 … j0 + keys − 1.
SHARED int position_visibility(const Head head, int i0, int rows, int j0, int keys) {
  const int last = i0 + rows - 1;
  if (j0 >= end_visible(head, last) || j0 + keys <= first_visible(head, i0)) return TILE_HIDDEN;
  return j0 >= first_visible(head, last) && j0 + keys <= end_visible(head, i0) ? TILE_OPEN : TILE_MIXED;
}

// What the block mask alone lets be seen of the rows i0 … i0 + rows − 1 and the keys j0 … j0 + keys − 1: nothing, all or
// some. The rectangle may reach past the head's last row and key: what is there does not count.
SHARED int block_visibility(const Modifiers m, const Head head, int i0, int rows, int j0, int keys) {
  if (m.query_block == 0) return TILE_OPEN;
  const int end_row = (min(i0 + rows, head.query_length) + m.query_block - 1) / m.query_block;
  const int end_column = (min(j0 + keys, head.key_length) + m.key_block - 1) / m.key_block;
  bool open = false, hidden = false;
  for (int row = i0 / m.query_block; row < end_row; row++) {
    for (int column = j0 / m.key_block; column < end_column; column++) {
      if (block_is_open(m, head, row, column)) open = true;
      else hidden = true;
      if (open && hidden) return TILE_MIXED;
    }
  }
  return open ? TILE_OPEN : TILE_HIDDEN;
}

// By position, by what classify_mask found of the tile (TILE_OPEN where there is no mask), and by block.
SHARED int tile_visibility(const Modifiers m, const Head head, int i0, int rows, int j0, int keys, int mask_class) {
  const int position = position_visibility(head, i0, rows, j0, keys);
  if (position == TILE_HIDDEN || mask_class == TILE_HIDDEN) return TILE_HIDDEN;
  const int blocks = block_visibility(m, head, i0, rows, j0, keys);
  if (blocks == TILE_HIDDEN) return TILE_HIDDEN;
  return position == TILE_OPEN && mask_class == TILE_OPEN && blocks == TILE_OPEN ? TILE_OPEN : TILE_MIXED;
}
