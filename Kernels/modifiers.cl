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

static bool is_visible(const Modifiers m, const Head head, int i, int j) {
  return j >= first_visible(head, i) && j < end_visible(head, i) && mask_bias(m, head, i, j) != -INFINITY;
}

// The score of query i and key j from their product; −∞ where the key is hidden, whatever the product was.
static float modified_score(const Modifiers m, const Head head, int i, int j, float product) {
  if (j < first_visible(head, i) || j >= end_visible(head, i)) return -INFINITY;
  const float bias = mask_bias(m, head, i, j);
  if (bias == -INFINITY) return -INFINITY;
  float s = product * m.scale;
  if (m.softcap > 0.0f) s = m.softcap * tanh(s / m.softcap);
  if (head.slope != 0.0f) s -= head.slope * (float)abs(i + head.offset - j);
  return s + bias;
}
