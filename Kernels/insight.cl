// What a call attends to, without its score matrix: the k most attended keys of each query, and the attention that each
// key receives. Both compute the scores again, tile by tile, and have P = exp(S − shift) · factor of row_terms, so a row's
// log-sum-exp must be there. Neither writes more than its result.
//
//                 keys ──────────►                                keys ─►
//              ┌────┬────┬────┬────┐                              ┌────┐
//     queries  │ 1 ─┼►2 ─┼►3 ─┼►4 │  top_keys: a group walks      │ 1  │ received: a group walks the tiles
//        │     └────┴────┴────┴────┘  the tiles of its rows and    ├─│──┤ of its keys and adds each tile's
//        ▼                            keeps k keys a row           │ ▼2 │ columns to what was there
//                                                                  └────┘
//
// Tiles that are hidden by position are left out. Tiles are walked in order, and a group alone writes its rows or keys, so
// that the result depends on nothing but the row or column.
//
// A row whose shift is not finite has NaN for the weight of every key that it sees, and of no other.

// The number of floats that two operand tiles take, or the scores of a tile, in the same local memory.
#define OPERAND_FLOATS (TILE_K * (A_STRIDE + B_STRIDE))
#define SCORE_STRIDE (TILE_N + 1)
#define SCORE_FLOATS (TILE_M * SCORE_STRIDE)
#define SHARED_FLOATS (OPERAND_FLOATS > SCORE_FLOATS ? OPERAND_FLOATS : SCORE_FLOATS)
#define SHARED_VECTORS ((SHARED_FLOATS + VECTOR - 1) / VECTOR)

// One product of queries and keys.
typedef struct {
  __global const storage_t *query, *key;
  int head_dimension;
} Operands;

static floatv visible_score(floatv s, WIDE(int) visible) {
  return select(s, (floatv)-FLT_MAX, visible && s == -INFINITY);
}

// The scores of queries i0 … i0 + rows − 1 and keys j0 … j0 + TILE_N − 1, in registers; −∞ where a key is hidden, and there
// alone: a visible score of −∞ becomes −FLT_MAX, which weighs 0 too. Begins with a barrier; ends without one.
static void score_tile(floatv s[ROWS][COLUMNS], __local floatv *shared, const Operands of, const Modifiers modifiers,
                       __global const Head *heads, int i0, int rows, int j0, int item) {
  __local floatv *b = shared;
  __local float *a = (__local float *)(shared + TILE_K * B_STRIDE / VECTOR);
  const int x = item % GROUP_X, y = item / GROUP_X;
  // (Read again by each function that needs it, the head need not be in registers in between.)
  const Head head = *heads;

  for (int r = 0; r < ROWS; r++)
    for (int v = 0; v < COLUMNS; v++) s[r][v] = 0.0f;
  for (int d = 0; d < of.head_dimension; d += TILE_K) {
    barrier(CLK_LOCAL_MEM_FENCE);
    load_transposed(a, A_STRIDE, TILE_M, of.query + head.query + (long)i0 * of.head_dimension, rows, d,
                    of.head_dimension, item);
    load_transposed((__local float *)b, B_STRIDE, TILE_N, of.key + head.key + (long)j0 * of.head_dimension,
                    head.key_length - j0, d, of.head_dimension, item);
    barrier(CLK_LOCAL_MEM_FENCE);
    multiply_tiles(s, a, b, x, y);
  }

  const bool only_scaled = tile_visibility(modifiers, head, i0, rows, j0, TILE_N, TILE_OPEN) == TILE_OPEN &&
                           modifiers.mask_kind == MASK_NONE && only_scales(modifiers.softcap, head.slope);
  if (only_scaled) {
    // (softcap is 0 here, but no compiler knows. It could make one operation of a product and what is subtracted from it later:
    // the largest score less itself would be what it was rounded by, 32 at 1e9.)
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < COLUMNS; v++)
        s[r][v] = visible_score(fma(s[r][v], (floatv)modifiers.scale, (floatv)modifiers.softcap), true);
    return;
  }
  // The code of one row, once: each in turn is taken from the front of the line, and comes to its end.
#pragma unroll 1
  for (int n = 0; n < ROWS; n++) {
    // (Rows past the last have no mask; they may be anything, and are the last again.)
    const int i = i0 + min(y * ROWS + n, rows - 1);
    for (int v = 0; v < COLUMNS; v++) {
      WIDE(int) visible;
      const floatv row = modified_scores(modifiers, head, i, j0 + (v * GROUP_X + x) * VECTOR, s[0][v], &visible);
      const floatv score = visible_score(row, visible);
      for (int r = 1; r < ROWS; r++) s[r - 1][v] = s[r][v];
      s[ROWS - 1][v] = score;
    }
  }
}

// A row's shift and factor are its log-sum-exp and 1, but for a large one: half a unit in its last place is an error of each
// weight. (Where a mask adds −1e9 to every key of a row, the log-sum-exp is −1e9 and every weight would be 1.) Such a row is
// gone through once more, for its maximum and the inverse of its sum.
#define LARGEST_SHIFT 64.0f

static bool is_too_coarse(float log_sum_exp) { return isfinite(log_sum_exp) && fabs(log_sum_exp) > LARGEST_SHIFT; }

static float largest_score(float largest, const floatv s[COLUMNS]) {
  for (int v = 0; v < COLUMNS; v++)
    for (int lane = 0; lane < VECTOR; lane++) largest = fmax(largest, ((const float *)&s[v])[lane]);
  return largest;
}

static float sum_of_weights(float sum, const floatv s[COLUMNS], float shift) {
  for (int v = 0; v < COLUMNS; v++) {
    const floatv weights = exp(s[v] - shift);
    for (int lane = 0; lane < VECTOR; lane++) sum += ((const float *)&weights)[lane];
  }
  return sum;
}

// terms is [head][row of the slice], whole tiles; rows past a head's queries get 0 and 1. A row's terms depend on nothing but
// the row. (Groups without a coarse row go on to the last barrier, and items store rows that are not there too: with groups
// that ended and items that stopped early, together, PoCL 3.1 wrote over memory that was nobody's.)
__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void row_terms(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const uchar *mask, __global const uchar *block_mask, __global float2 *terms, __global const float *log_sum_exp,
    int row_tiles, int has_sinks,
    int head_dimension, int first_row, int end_row,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local floatv shared[SHARED_VECTORS];
  __local float row_maximum[TILE_M];

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  const int group = get_group_id(0);
  heads += group / row_tiles;
  const Head head = *heads;
  const Operands operands = {query, key, head_dimension};
  const Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};
  __local float *parts = (__local float *)shared;  // [row][item across]

  const int i0 = first_row + group % row_tiles * TILE_M;
  const int rows = min(TILE_M, min(end_row, head.query_length) - i0);
  log_sum_exp += head.log_sum_exp + i0;
  terms += (long)group * TILE_M;
  bool coarse = false;
  for (int row = 0; row < rows; row++) coarse = coarse || is_too_coarse(log_sum_exp[row]);

  // Of each row, this item's keys: sum = Σ exp(S − maximum).
  float maximum[ROWS], sum[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    maximum[r] = -INFINITY;
    sum[r] = 0.0f;
  }
  const int end = coarse ? end_visible(head, i0 + rows - 1) : 0;
  for (int j0 = first_visible(head, i0) / TILE_N * TILE_N; j0 < end; j0 += TILE_N) {
    floatv s[ROWS][COLUMNS];
    score_tile(s, shared, operands, modifiers, heads, i0, rows, j0, item);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const float largest = max(largest_score(maximum[r], s[r]), -FLT_MAX);  // −∞ − −∞ is no number
      sum[r] = sum_of_weights(sum[r] * exp(maximum[r] - largest), s[r], largest);
      maximum[r] = largest;
    }
  }

  // The items of a row meet at the maximum of all.
  barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
  for (int r = 0; r < ROWS; r++) parts[(y * ROWS + r) * GROUP_X + x] = maximum[r];
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int row = item; row < TILE_M; row += GROUP_ITEMS) {
    float m = has_sinks ? head.sink : -INFINITY;
    for (int part = 0; part < GROUP_X; part++) m = fmax(m, parts[row * GROUP_X + part]);
    row_maximum[row] = m;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    parts[(y * ROWS + r) * GROUP_X + x] = sum[r] * exp(maximum[r] - row_maximum[y * ROWS + r]);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int row = item; row < TILE_M; row += GROUP_ITEMS) {
    const float lse = row < rows ? log_sum_exp[row] : 0.0f, m = row_maximum[row];
    float total = has_sinks ? exp(head.sink - m) : 0.0f;
    for (int part = 0; part < GROUP_X; part++) total += parts[row * GROUP_X + part];
    terms[row] = is_too_coarse(lse) ? (float2)(m, 1.0f / total) : (float2)(lse, 1.0f);
  }
}

// Puts a key into a list that falls by score, after those of the same score; returns the score to beat from now on.
static float insert_key(__global int *keys, __global float *scores, int count, int key, float score) {
  int at = count - 1;
#pragma unroll 1
  for (; at > 0 && scores[at - 1] < score; at--) {
    scores[at] = scores[at - 1];
    keys[at] = keys[at - 1];
  }
  scores[at] = score;
  keys[at] = key;
  return scores[count - 1];
}

// Turns a list of scores into one of weights. Scores that differ may weigh the same, and exp need not be monotonic: the
// order is that of what is returned, equal weights by their keys.
static void weigh(__global int *keys, __global float *weights, int count, const float2 terms) {
#pragma unroll 1
  for (int n = 0; n < count; n++) {
    const int key = keys[n];
    if (key < 0) {
      weights[n] = 0.0f;
      continue;
    }
    const float weight = isfinite(terms.x) ? exp(min(weights[n] - terms.x, 0.0f)) * terms.y : NAN;
    int at = n;
#pragma unroll 1
    for (; at > 0 && (weights[at - 1] < weight || (weights[at - 1] == weight && keys[at - 1] > key)); at--) {
      weights[at] = weights[at - 1];
      keys[at] = keys[at - 1];
    }
    weights[at] = weight;
    keys[at] = key;
  }
}

// keys and weights are [head][list_rows][count]; rows past a head's queries get −1 and 0.
__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void top_keys(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const uchar *mask, __global const uchar *block_mask, __global const float2 *terms,
    __global int *keys, __global float *weights,
    int count, int list_rows, int row_tiles,
    int head_dimension, int first_row, int end_row,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local floatv shared[SHARED_VECTORS];
  __local float least[TILE_M];  // of each row, the score to beat
  __local uint beaten[TILE_M];  // of each row, the items across whose scores beat it: one bit each

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  const int group = get_group_id(0);
  heads += group / row_tiles;
  const Head head = *heads;
  const Operands operands = {query, key, head_dimension};
  const Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};
  __local float *scores = (__local float *)shared;

  const int i0 = first_row + group % row_tiles * TILE_M;
  const int rows = min(TILE_M, min(end_row, head.query_length) - i0);
  const int lists = min(TILE_M, end_row - i0);
  keys += ((long)(group / row_tiles) * list_rows + i0) * count;
  weights += ((long)(group / row_tiles) * list_rows + i0) * count;
  terms += (long)group * TILE_M;

  for (int row = item; row < TILE_M; row += GROUP_ITEMS) {
    least[row] = row < rows ? -INFINITY : INFINITY;  // where there is no row, nothing beats anything
    beaten[row] = 0;
    if (row >= lists) continue;
#pragma unroll 1
    for (int n = 0; n < count; n++) {
      keys[(long)row * count + n] = -1;
      weights[(long)row * count + n] = -INFINITY;
    }
  }
  uint finite = 0;  // a bit for each of this item's rows whose weights are numbers
  for (int r = 0; r < ROWS; r++) finite |= isfinite(terms[y * ROWS + r].x) ? 1u << r : 0u;

  const int end = rows > 0 ? end_visible(head, i0 + rows - 1) : 0;
  for (int j0 = first_visible(head, i0) / TILE_N * TILE_N; j0 < end; j0 += TILE_N) {
    floatv s[ROWS][COLUMNS];
    score_tile(s, shared, operands, modifiers, heads, i0, rows, j0, item);
    barrier(CLK_LOCAL_MEM_FENCE);  // the scores lie where the operands were

#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const int row = y * ROWS + r;
      const float beat = least[row];
      bool beats = false;
      for (int v = 0; v < COLUMNS; v++) {
        // Where weights are NaN all visible keys are alike.
        if (!(finite >> r & 1u)) s[r][v] = select((floatv)0.0f, (floatv)-INFINITY, s[r][v] == -INFINITY);
        beats = beats || any(s[r][v] > beat);
      }
      if (!beats) continue;
      for (int v = 0; v < COLUMNS; v++)
        STORE_VECTOR(s[r][v], 0, scores + row * SCORE_STRIDE + (v * GROUP_X + x) * VECTOR);
      atomic_or(&beaten[row], 1u << x);
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // Keys in order, so that of equal ones the first stays in front.
    for (int row = item; row < TILE_M; row += GROUP_ITEMS) {
      const uint items = beaten[row];
      if (items == 0) continue;
      float beat = least[row];
#pragma unroll 1
      for (int part = 0; part < COLUMNS * GROUP_X; part++) {
        if ((items >> (part % GROUP_X) & 1u) == 0) continue;
#pragma unroll 1
        for (int column = part * VECTOR; column < (part + 1) * VECTOR; column++) {
          const float score = scores[row * SCORE_STRIDE + column];
          if (score > beat)
            beat = insert_key(keys + (long)row * count, weights + (long)row * count, count, j0 + column, score);
        }
      }
      least[row] = beat;
      beaten[row] = 0;
    }
  }

  for (int row = item; row < TILE_M; row += GROUP_ITEMS)
    if (row < lists)
      weigh(keys + (long)row * count, weights + (long)row * count, count, terms[row]);
}

// totals is [head][keys]; 0 past a head's keys. The first slice of queries begins the sums and the others go
// on with them, tile by tile, so that slices do not change them.
__kernel PINNED __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void received(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const uchar *mask, __global const uchar *block_mask, __global const float2 *terms, __global float *totals,
    int keys, int column_tiles,
    int head_dimension, int first_row, int end_row,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __local floatv shared[SHARED_VECTORS];
  __local float parts[GROUP_Y * TILE_N];  // of each column, the sum of every item's rows
  __local float sums[TILE_N];

  const int item = get_local_id(0);
  const int x = item % GROUP_X, y = item / GROUP_X;
  const int group = get_group_id(0);
  heads += group / column_tiles;
  const Head head = *heads;
  const Operands operands = {query, key, head_dimension};
  const Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};

  const int j0 = group % column_tiles * TILE_N;
  const int columns = min(TILE_N, keys - j0);
  totals += (long)(group / column_tiles) * keys + j0;
  const int first_term = group / column_tiles * ROUNDED_UP(end_row - first_row, TILE_M) - first_row;
  for (int column = item; column < columns; column += GROUP_ITEMS)
    sums[column] = first_row > 0 ? totals[column] : 0.0f;

  // The queries that see a key of the tile by position: from the first whose last key is not before it, to the last whose
  // first key is not after it.
  const int queries = j0 < head.key_length ? min(end_row, head.query_length) : 0;
  const int begin = max(first_row, j0 - head.end_shift + 1);
  const int end = min(queries, j0 + TILE_N - head.first_shift);
  for (int i0 = first_row + (begin - first_row) / TILE_M * TILE_M; i0 < end; i0 += TILE_M) {
    const int rows = min(TILE_M, queries - i0);
    floatv s[ROWS][COLUMNS];
    score_tile(s, shared, operands, modifiers, heads, i0, rows, j0, item);

    floatv sum[COLUMNS];
    for (int v = 0; v < COLUMNS; v++) sum[v] = 0.0f;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const int row = y * ROWS + r;
      const float2 of = row < rows ? terms[first_term + i0 + row] : (float2)0.0f;
      for (int v = 0; v < COLUMNS; v++) {
        const floatv weights = isfinite(of.x) ? exp(min(s[r][v] - of.x, 0.0f)) * of.y
                                              : select((floatv)0.0f, (floatv)NAN, s[r][v] != -INFINITY);
        sum[v] += row < rows ? weights : (floatv)0.0f;
      }
    }
    for (int v = 0; v < COLUMNS; v++) STORE_VECTOR(sum[v], 0, parts + y * TILE_N + (v * GROUP_X + x) * VECTOR);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int column = item; column < columns; column += GROUP_ITEMS) {
      float tile = 0.0f;
      for (int part = 0; part < GROUP_Y; part++) tile += parts[part * TILE_N + column];
      sums[column] += tile;
    }
  }
  for (int column = item; column < columns; column += GROUP_ITEMS) totals[column] = sums[column];
}
