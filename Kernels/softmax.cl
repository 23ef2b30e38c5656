// P = softmax(S), the second staged kernel, in place, over rows of any length: a row is cut into chunks of CHUNK keys,
// each the work of one work-group, and the parts meet by their maxima and sums, in order:
//
//   softmax_parts      of each chunk c:  m_c = max S,  S ← exp(S − m_c),  l_c = Σ exp(S − m_c)
//   softmax_normalize  m = max(m_c, sink),  l = Σ_c l_c · exp(m_c − m) + exp(sink − m),
//                      P ← S · exp(m_c − m) / l,  log_sum_exp = m + ln l
//
// Chunks begin at fixed keys and are combined in order, so a row's result depends on nothing but the row.
// A row whose maximum is −∞ either sees no key (output 0, log-sum-exp −∞) or sees only keys whose score is −∞ (NaN, as
// 0/0 is); the mask says which.

#ifndef SOFTMAX_ITEMS
#define SOFTMAX_ITEMS 64
#endif
#ifndef SOFTMAX_VECTOR
#define SOFTMAX_VECTOR 4
#endif
#ifndef CHUNK
#define CHUNK 4096
#endif

typedef PASTE(float, SOFTMAX_VECTOR) float_row;
#define STORE_ROW PASTE(vstore, SOFTMAX_VECTOR)

enum { REDUCE_SUM, REDUCE_MAX };

static float reduce_pair(int kind, float a, float b) { return kind == REDUCE_MAX ? max_or_nan(a, b) : a + b; }

// The sum or maximum of one number an item, the same for every item; a tree, so that the order is fixed.
static float reduce_group(int kind, float x, __local float *shared, int item) {
#ifdef SUBGROUP
  for (int step = SUBGROUP / 2; step > 0; step /= 2) x = reduce_pair(kind, x, intel_sub_group_shuffle_xor(x, step));
  const int lanes = SUBGROUP;
#else
  const int lanes = 1;
#endif
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item % lanes == 0) shared[item / lanes] = x;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int step = SOFTMAX_ITEMS / lanes / 2; step > 0; step /= 2) {
    if (item < step) shared[item] = reduce_pair(kind, shared[item], shared[item + step]);
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  return shared[0];
}

static float max_of(float_row v) {
  float e[SOFTMAX_VECTOR];
  STORE_ROW(v, 0, e);
  float m = e[0];
  for (int i = 1; i < SOFTMAX_VECTOR; i++) m = max_or_nan(m, e[i]);
  return m;
}

static float sum_of(float_row v) {
  float e[SOFTMAX_VECTOR];
  STORE_ROW(v, 0, e);
  float sum = e[0];
  for (int i = 1; i < SOFTMAX_VECTOR; i++) sum += e[i];
  return sum;
}

// Rows of the slice × chunks of a row, over the heads.
typedef struct {
  int head, row, chunk;
} Part;

static Part part_of_group(int rows, int chunks) {
  const int group = get_group_id(0);
  const Part part = {group / chunks / rows, group / chunks % rows, group % chunks};
  return part;
}

__kernel PINNED __attribute__((reqd_work_group_size(SOFTMAX_ITEMS, 1, 1))) void softmax_parts(
    __global const Head *heads, __global float *scores, __global float2 *parts,
    int first_row, int rows, int score_stride, int chunks) {
  __local float shared[SOFTMAX_ITEMS];
  const int item = get_local_id(0);
  const Part part = part_of_group(rows, chunks);
  const Head head = heads[part.head];
  if (first_row + part.row >= head.query_length) return;

  const int begin = part.chunk * CHUNK;
  const int vectors = min(CHUNK, score_stride - begin) / SOFTMAX_VECTOR;
  __global float_row *row = (__global float_row *)(scores + head.score + (long)part.row * score_stride + begin);

  float_row maximum = -INFINITY;
  for (int v = item; v < vectors; v += SOFTMAX_ITEMS) {
    const float_row s = row[v];
    maximum = (maximum > s || isnan(maximum)) ? maximum : s;
  }
  const float m = reduce_group(REDUCE_MAX, max_of(maximum), shared, item);

  // Where nothing is above −∞ every term is 0, but −∞ − −∞ would be NaN.
  const float shift = m == -INFINITY ? 0.0f : m;
  float_row sum = 0.0f;
  for (int v = item; v < vectors; v += SOFTMAX_ITEMS) {
    const float_row e = exp(row[v] - shift);
    row[v] = e;
    sum += e;
  }
  const float l = reduce_group(REDUCE_SUM, sum_of(sum), shared, item);
  if (item == 0) parts[((long)part.head * rows + part.row) * chunks + part.chunk] = (float2)(m, l);
}

// Whether query i sees any key: asked only of rows whose maximum is −∞.
static bool sees_any_key(const Modifiers m, const Head head, int i, __local float *shared, int item) {
  const int first = first_visible(head, i), end = end_visible(head, i);
  if (m.mask_kind == MASK_NONE && m.query_block == 0) return first < end;
  float seen = 0.0f;
  for (int j = first + item; j < end; j += SOFTMAX_ITEMS)
    if (is_visible(m, head, i, j)) seen = 1.0f;
  return reduce_group(REDUCE_MAX, seen, shared, item) > 0.0f;
}

__kernel PINNED __attribute__((reqd_work_group_size(SOFTMAX_ITEMS, 1, 1))) void softmax_normalize(
    __global const Head *heads, __global float *scores, __global const float2 *parts,
    __global const uchar *mask, __global const uchar *block_mask, __global float *log_sum_exp,
    int first_row, int rows, int score_stride, int chunks, int has_sinks,
    int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local float shared[SOFTMAX_ITEMS];
  const int item = get_local_id(0);
  const Part part = part_of_group(rows, chunks);
  const Head head = heads[part.head];
  const int i = first_row + part.row;
  if (i >= head.query_length) return;

  parts += ((long)part.head * rows + part.row) * chunks;
  float keys = -INFINITY;
  for (int c = 0; c < chunks; c++) keys = max_or_nan(keys, parts[c].x);
  const float m = has_sinks ? max_or_nan(keys, head.sink) : keys;
  float l = has_sinks && m != -INFINITY ? exp(head.sink - m) : 0.0f;
  for (int c = 0; c < chunks; c++) l += m == -INFINITY ? 0.0f : parts[c].y * exp(parts[c].x - m);

  float factor = exp(parts[part.chunk].x - m) / l;
  float lse = m == INFINITY ? INFINITY : m + log(l);
  const Modifiers modifiers = {0.0f, 0.0f, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};
  if (keys == -INFINITY) {
    const bool dead = !sees_any_key(modifiers, head, i, shared, item);
    // Scores of −∞ share the denominator with a finite sink (0), or there is none and they are 0/0. (m is the sink here;
    // not every compiler keeps the NaN of 0/l.)
    factor = dead || isfinite(m) ? 0.0f : NAN;
    if (dead || m == -INFINITY) lse = -INFINITY;
  }

  const int begin = part.chunk * CHUNK;
  const int vectors = min(CHUNK, score_stride - begin) / SOFTMAX_VECTOR;
  __global float_row *row = (__global float_row *)(scores + head.score + (long)part.row * score_stride + begin);
  if (isnan(factor)) {
    // NaN is for the keys that the row sees: a hidden one weighs 0 all the same.
    for (int k = item; k < vectors * SOFTMAX_VECTOR; k += SOFTMAX_ITEMS)
      ((__global float *)row)[k] = is_visible(modifiers, head, i, begin + k) ? NAN : 0.0f;
  } else {
    for (int v = item; v < vectors; v += SOFTMAX_ITEMS) row[v] *= factor;
  }
  if (item == 0 && part.chunk == 0) log_sum_exp[head.log_sum_exp + i] = lse;
}
