// From a product of query and key to a score: scale, softcap, ALiBi, mask, in the order in which the operation is
// defined, and the visibility of a key. The one place where they are computed.

enum { MASK_NONE = 0, MASK_BOOL = 1, MASK_FLOAT32 = 2, MASK_FLOAT16 = 3, MASK_BFLOAT16 = 4 };

typedef struct {
  float scale;
  float softcap;  // 0: none
  int mask_kind;
  int first_row;  // the mask on the device begins with this query: the slice's first
  long mask_query_stride, mask_key_stride;
  __global const uchar *mask;
  int query_block, key_block;  // rows and keys of a block of the block mask; 0: there is none
  int block_columns;           // blocks of a row of blocks
  __global const uchar *block_mask;
} Modifiers;

// What the mask adds to the score of query i and key j; −∞ hides the key.
static float mask_bias(const Modifiers m, const Head head, int i, int j) {
  const long at = head.mask + (i - m.first_row) * m.mask_query_stride + j * m.mask_key_stride;
  switch (m.mask_kind) {
    case MASK_BOOL: return m.mask[at] ? 0.0f : -INFINITY;
    case MASK_FLOAT32: return ((__global const float *)m.mask)[at];
    case MASK_FLOAT16: return vload_half(at, (__global const half *)m.mask);
    case MASK_BFLOAT16: return float_from_brain(((__global const ushort *)m.mask)[at]);
    default: return 0.0f;
  }
}

static bool block_is_open(const Modifiers m, const Head head, int row, int column) {
  return m.block_mask[head.block_mask + (long)row * m.block_columns + column] != 0;
}

static bool in_hidden_block(const Modifiers m, const Head head, int i, int j) {
  return m.query_block != 0 && !block_is_open(m, head, i / m.query_block, j / m.key_block);
}

enum { TILE_HIDDEN, TILE_OPEN, TILE_MIXED };

// What the block mask alone lets be seen of the rows i0 … i0 + rows − 1 and the keys j0 … j0 + keys − 1: nothing, all or
// some. The rectangle may reach past the head's last row and key: what is there does not count.
static int block_visibility(const Modifiers m, const Head head, int i0, int rows, int j0, int keys) {
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

static bool is_visible(const Modifiers m, const Head head, int i, int j) {
  return j >= first_visible(head, i) && j < end_visible(head, i) && !in_hidden_block(m, head, i, j) &&
         mask_bias(m, head, i, j) != -INFINITY;
}

// The score of query i and key j from their product; −∞ where the key is hidden, whatever the product was.
static float modified_score(const Modifiers m, const Head head, int i, int j, float product) {
  if (j < first_visible(head, i) || j >= end_visible(head, i) || in_hidden_block(m, head, i, j)) return -INFINITY;
  const float bias = mask_bias(m, head, i, j);
  if (bias == -INFINITY) return -INFINITY;
  float s = product * m.scale;
  if (m.softcap > 0.0f) s = m.softcap * tanh(s / m.softcap);
  if (head.slope != 0.0f) s -= head.slope * (float)abs(i + head.offset - j);
  return s + bias;
}
