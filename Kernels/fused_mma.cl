// O = softmax(modifiers(Q·Kᵀ))·V in one pass over the keys, by matrix units (matrix_units.cl), for float16 and bfloat16
// (FlashAttention-2: Dao 2023). A work-group owns TILE_ROWS queries of one head, WARP_ROWS a warp, and walks over their keys,
// TILE_KEYS at a time.
//
//   m = −∞, l = 0, O = 0                          for every row of the tile
//   for every tile of keys that is not hidden:
//     K is there                                                                           barrier
//     S  = Q·Kᵀ, modified                         matrix units, registers     V is on its way to local memory
//     m' = max(m, max S), P = 2^(S − m'), O ·= 2^(m − m'), l = l · 2^(m − m') + Σ P
//     V is there                                                                           barrier
//     O += P·V                                    matrix units, registers     the next K is on its way
//   O / l, m + ln l
//
// A warp has all keys of a tile and all columns of the output of its rows: P never leaves registers, and a row's maximum and
// sum meet within the few lanes that share it.
//
// Arithmetic is float32 here too. A weight, which is a float32, goes through the matrix units in two parts of the storage
// type, w = high + low, so that 20 to 22 bits of it count in float16 and 16 in bfloat16 (one part would be 11 and 8). Weights
// are carried times WEIGHT_ONE, so that those of float16 that are small beside their row's largest are not below its least
// number.
//
// A value that is ∞ or NaN would make NaN of low · ∞, and of 0 · NaN where it is hidden. Neither happens unseen: what is not
// finite remains so in O. Nor do scores so large that they lose more than their last places to log₂ e, as where a mask adds
// the least number to all keys of a row. Where a group's output is not finite at the end, or a maximum that large, all of it is
// done once more, carefully, with differences of scores themselves and products of V by ordinary arithmetic that passes over
// hidden pairs.
//
// Built with -DSCORE_WIDTH=1.

#if STORAGE == 2
#define WEIGHT_ONE_LOG2 0
#else
#define WEIGHT_ONE_LOG2 14
#endif
#define WEIGHT_ONE ((float)(1 << WEIGHT_ONE_LOG2))

#define LOG2_E 1.44269504f
#define LN_2 0.693147181f
// The maximum, times log₂ e, from which on a score's rounding counts.
#define LARGE_MAXIMUM 0x1p24f

// The score of a hidden pair: a NaN, so that maxima pass over it, and one that no arithmetic makes.
#define HIDDEN_SCORE as_float(0x7fc0feedu)
static bool is_hidden_score(float score) { return as_uint(score) == 0x7fc0feedu; }

// The column, in the row that a lane shares, of element k of it; `column` is that of element 0.
static int column_of(int column, int k) { return column + k / PART * BLOCK + k % PART; }

// The first `by` of so many numbers in registers go to the end of the line: so a loop that is not unrolled, because its code is
// long, can come to all of them.
INLINED void rotate(Sums *x, int count, int by) {
  float first[PART];
#pragma unroll UNROLLED
  for (int k = 0; k < by; k++) first[k] = ELEMENT(x, k);
#pragma unroll UNROLLED
  for (int k = by; k < count; k++) ELEMENT(x, k - by) = ELEMENT(x, k);
#pragma unroll UNROLLED
  for (int k = 0; k < by; k++) ELEMENT(x, count - by + k) = first[k];
}

// Elements of a lane's rows that are looked at together where each needs much code.
#define TOGETHER (LANE_ROWS > 2 ? 1 : 2 / LANE_ROWS)

// From products to scores, of rows `row` and keys from j on. What they are still to be multiplied by, log₂ e and the scale
// where that can wait, is the result: more than 0, so that the largest remains the largest. Carefully made they are whole: 1.
INLINED float modify_scores(Sums s[LANE_ROWS][KEY_BLOCKS], const Modifiers modifiers, __global const Head *heads,
                            int visibility, const int row[LANE_ROWS], int j, bool carefully) {
  const Head head = *heads;
  const bool plain = only_scales(modifiers.softcap, head.slope);
  const bool by_position = modifiers.mask_kind == MASK_NONE && modifiers.query_block == 0;
  // (A scale that vanished would make NaN of −∞.)
  if (plain && modifiers.scale > 1e-30f && (visibility == TILE_OPEN || by_position)) {
    const float scale = carefully ? 1.0f : modifiers.scale * LOG2_E;
    if (visibility == TILE_OPEN) return scale;
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++) {
      const int first = first_visible(head, row[r]) - j, end = end_visible(head, row[r]) - j;
#pragma unroll UNROLLED
      for (int k = 0; k < LANE_KEYS; k++) {
        const float score = carefully ? ELEMENT(s[r], k) * modifiers.scale : ELEMENT(s[r], k);
        ELEMENT(s[r], k) = column_of(0, k) >= first && column_of(0, k) < end ? score : HIDDEN_SCORE;
      }
    }
    return scale;
  }
#pragma unroll 1
  for (int k = 0; k < LANE_KEYS; k += TOGETHER) {
    float scores[LANE_ROWS][TOGETHER];
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
      for (int e = 0; e < TOGETHER; e++) {
        // (Rows past the last have no mask; they may be anything, and are the last again.)
        const int i = min(row[r], head.query_length - 1);
        int visible;
        const float score = modified_scores(modifiers, head, i, column_of(j, k) + e, s[r][0][e], &visible);
        scores[r][e] = visible ? score : HIDDEN_SCORE;
      }
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++) {
#pragma unroll UNROLLED
      for (int e = 0; e < TOGETHER; e++) s[r][0][e] = scores[r][e];
      rotate(s[r], LANE_KEYS, TOGETHER);
    }
  }
  return carefully ? 1.0f : LOG2_E;
}

// O += P·V by ordinary arithmetic, without the pairs that are hidden. P is lost.
INLINED void add_values_carefully(const Warp warp, Sums o[LANE_ROWS][VALUE_BLOCKS], Sums p[LANE_ROWS][KEY_BLOCKS],
                                  __local const ushort *value) {
  const int sharer = sharer_of(warp);
#pragma unroll 1
  for (int k = 0; k < LANE_KEYS; k++) {
#pragma unroll 1
    for (int owner = 0; owner < SHARERS; owner++) {
      float weight[LANE_ROWS];
#pragma unroll UNROLLED
      for (int r = 0; r < LANE_ROWS; r++)
        weight[r] = from_lane(warp, p[r][0][0], warp.lane + (owner - sharer) * SHARER_STRIDE);
#pragma unroll 1
      for (int n = 0; n < LANE_COLUMNS; n += PART) {
#pragma unroll UNROLLED
        for (int e = 0; e < PART; e++) {
          const float x = value_at(value, column_of(owner * PART, k), column_of(sharer * PART, n) + e);
#pragma unroll UNROLLED
          for (int r = 0; r < LANE_ROWS; r++)
            if (!is_hidden(weight[r])) o[r][0][e] += weight[r] * x;
        }
#pragma unroll UNROLLED
        for (int r = 0; r < LANE_ROWS; r++) rotate(o[r], LANE_COLUMNS, PART);
      }
    }
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++) rotate(p[r], LANE_KEYS, 1);
  }
}

// The largest, and the sum, of what the lanes have that share a row, in the same order in each. Maxima pass over NaN.
static float row_maximum(const Warp warp, float x) {
#pragma unroll UNROLLED
  for (int apart = SHARER_STRIDE; apart < SHARERS * SHARER_STRIDE; apart *= 2) {
    const float other = from_lane(warp, x, warp.lane ^ apart);
    x = fmax(x, other);
  }
  return x;
}
static float row_sum(const Warp warp, float x) {
#pragma unroll UNROLLED
  for (int apart = SHARER_STRIDE; apart < SHARERS * SHARER_STRIDE; apart *= 2) x += from_lane(warp, x, warp.lane ^ apart);
  return x;
}

// What a lane has gathered of its rows: their maxima (times log₂ e, but carefully made), its part of their sums, and of O.
typedef struct {
  float maximum[LANE_ROWS], sum[LANE_ROWS];
  Sums o[LANE_ROWS][VALUE_BLOCKS];
} Rows;

// Scores, which are to be multiplied by `scale`, become weights; what the rows have gathered is rescaled to their new maxima.
INLINED void update_rows(const Warp warp, Sums s[LANE_ROWS][KEY_BLOCKS], float scale, Rows *rows, bool open,
                         bool carefully) {
  float shift[LANE_ROWS], factor[LANE_ROWS];
  bool as_before = true;
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++) {
    float m = -INFINITY;
#pragma unroll UNROLLED
    for (int k = 0; k < LANE_KEYS; k++) m = fmax(m, ELEMENT(s[r], k));
    m = fmax(row_maximum(warp, m) * scale, rows->maximum[r]);
    shift[r] = shift_of(m) - (carefully ? 0 : WEIGHT_ONE_LOG2);
    // (Of equal infinities the difference would be NaN.)
    const float change = (rows->maximum[r] - m) * (carefully ? LOG2_E : 1.0f);
    factor[r] = rows->maximum[r] == m ? 1.0f : power_of_two(change);
    as_before = as_before && factor[r] == 1.0f;
    rows->maximum[r] = m;
    rows->sum[r] *= factor[r];
  }

  if (open && !carefully) {
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
      for (int k = 0; k < LANE_KEYS; k++) {
        ELEMENT(s[r], k) = power_of_two(fma(ELEMENT(s[r], k), scale, -shift[r]));
        rows->sum[r] += ELEMENT(s[r], k);
      }
  } else {
#pragma unroll UNROLLED
    for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
      for (int k = 0; k < LANE_KEYS; k++) {
        const float score = ELEMENT(s[r], k);
        const float exponent =
            carefully ? fma(score - shift[r], LOG2_E, (float)WEIGHT_ONE_LOG2) : fma(score, scale, -shift[r]);
        ELEMENT(s[r], k) = is_hidden_score(score) ? HIDDEN_WEIGHT : power_of_two(exponent);
        rows->sum[r] += ELEMENT(s[r], k);
      }
  }

  // (Maxima soon stay as they are: for most tiles no lane of the warp comes here.)
  if (as_before) return;
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++)
#pragma unroll UNROLLED
    for (int n = 0; n < LANE_COLUMNS; n++) ELEMENT(rows->o[r], n) *= factor[r];
}

// All tiles of keys from `tile` on. `not_finite` becomes 1 where some item's output is not.
INLINED void attend(const Warp warp, Rows *rows, __global const ushort *const queries[LANE_ROWS],
                    const Modifiers modifiers, __global const Head *heads, int i0, const int row[LANE_ROWS],
                    __global const ushort *key, __global const ushort *value, KeyTile tile, int end,
                    __global const uchar *mask_classes, __local ushort *key_tile, __local ushort *value_tile,
                    __local int *not_finite, bool carefully) {
  const int item = get_local_id(0);
  KeyCopy keys = begin_keys(key_tile, key, tile.j, end, item);
  Queries q;
  load_queries(warp, &q, queries);
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++) {
    rows->maximum[r] = -INFINITY;
    rows->sum[r] = HIDDEN_WEIGHT;
#pragma unroll UNROLLED
    for (int n = 0; n < LANE_COLUMNS; n++) ELEMENT(rows->o[r], n) = 0.0f;
  }
#pragma unroll 1
  while (tile.j < end) {
    end_keys(key_tile, keys, item);
    barrier(CLK_LOCAL_MEM_FENCE);  // K is there, the last V is free
    const ValueCopy values = begin_values(value_tile, value, tile.j, end, item);
    const KeyTile next = next_tile(modifiers, heads, i0, tile.j + TILE_KEYS, end, mask_classes);
    const int visibility = carefully ? TILE_MIXED : tile.visibility;
    Sums s[LANE_ROWS][KEY_BLOCKS];
    multiply_keys(warp, s, &q, key_tile);
    const float factor =
        modify_scores(s, modifiers, heads, visibility, row, tile.j + sharer_of(warp) * PART, carefully);
    update_rows(warp, s, factor, rows, visibility == TILE_OPEN, carefully);
    end_values(value_tile, values, item);
    barrier(CLK_LOCAL_MEM_FENCE);  // V is there, K is free
    keys = begin_keys(key_tile, key, next.j, end, item);
    if (carefully) add_values_carefully(warp, rows->o, s, value_tile);
    else add_values(warp, rows->o, s, value_tile);
    tile = next;
  }
  end_keys(key_tile, keys, item);

  if (carefully) return;
  bool finite = true;
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++) {
    finite = finite && (fabs(rows->maximum[r]) < LARGE_MAXIMUM || is_hidden(rows->sum[r]));
#pragma unroll UNROLLED
    for (int n = 0; n < LANE_COLUMNS; n++) finite = finite && isfinite(ELEMENT(rows->o[r], n));
  }
  if (!finite) atomic_or(not_finite, 1);
  barrier(CLK_LOCAL_MEM_FENCE);  // all of the group know; K and V are free
}

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void fused_mma(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const storage_t *value, __global const uchar *mask, __global const uchar *mask_classes,
    __global const uchar *block_mask, __global storage_t *output, __global float *log_sum_exp,
    int first_row, int row_tiles, int head_count, int has_sinks,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride, int mask_class_stride,
    int query_block, int key_block, int block_columns) {
  __local ushort key_tile[KEY_TILE_SIZE] __attribute__((aligned(16)));
  __local ushort value_tile[VALUE_TILE_SIZE] __attribute__((aligned(16)));
  __local int not_finite;
  DECLARE_WARP(warp);

  const int item = get_local_id(0);
  // Where queries see the keys before them, later rows take longer: they go first.
  const int group = get_group_id(0);
  if (group >= head_count * row_tiles) return;
  const int row_tile = row_tiles - 1 - group % row_tiles;
  heads += group / row_tiles;
  const Head head = *heads;
  const Modifiers modifiers = {scale, softcap, mask_kind, first_row, mask_query_stride, mask_key_stride, mask,
                               query_block, key_block, block_columns, block_mask};

  const int i0 = first_row + row_tile * TILE_ROWS;
  const int rows = rows_of_tile(head, i0);
  if (rows <= 0) return;

  // The keys that some row sees by position.
  const int begin = first_visible(head, i0) / TILE_KEYS * TILE_KEYS, end = end_visible(head, i0 + rows - 1);
  mask_classes += head.mask_tiles + (mask_query_stride == 0 ? 0 : (long)row_tile * mask_class_stride);
  const KeyTile first = next_tile(modifiers, heads, i0, begin, end, mask_classes);
  key += head.key;
  value += head.value;

  clear_padding(key_tile, value_tile, item);
  if (item == 0) not_finite = 0;

  // This lane's rows. (What it reads for those past the last is the last again.)
  int row[LANE_ROWS];
  __global const ushort *queries[LANE_ROWS];
#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++) {
    row[r] = i0 + item / WARP_LANES * WARP_ROWS + row_of_lane(warp, r);
    queries[r] = query + head.query + (long)min(row[r], i0 + rows - 1) * HEAD_DIMENSION;
  }

  Rows gathered;
#ifdef EMULATED
  // (Once, for a processor's compiler takes long over it.)
  for (int pass = 0; pass == 0 || (pass == 1 && not_finite); pass++)
    attend(warp, &gathered, queries, modifiers, heads, i0, row, key, value, first, end, mask_classes, key_tile,
           value_tile, &not_finite, pass == 1);
#else
  // Twice the same code, so that what is careful takes no registers of what is not.
  attend(warp, &gathered, queries, modifiers, heads, i0, row, key, value, first, end, mask_classes, key_tile,
         value_tile, &not_finite, false);
  if (not_finite)
    attend(warp, &gathered, queries, modifiers, heads, i0, row, key, value, first, end, mask_classes, key_tile,
           value_tile, &not_finite, true);
#endif

#pragma unroll UNROLLED
  for (int r = 0; r < LANE_ROWS; r++) {
    const float total = row_sum(warp, gathered.sum[r]);
    // Back to weights of 1 at most, and to natural logarithms.
    const float maximum = gathered.maximum[r] * (not_finite ? 1.0f : LN_2);
    const RowEnd row_end = end_of_row(maximum, total / WEIGHT_ONE, !is_hidden(total), has_sinks, heads->sink);
    if (row[r] < i0 + rows) {
      if (sharer_of(warp) == 0) log_sum_exp[heads->log_sum_exp + row[r]] = log_sum_exp_of(row_end);
      __global storage_t *to = output + heads->output + (long)row[r] * VALUE_DIMENSION;
      const float factor = row_end.factor / WEIGHT_ONE;
#pragma unroll UNROLLED
      for (int n = 0; n < LANE_COLUMNS; n += 2) {
        const int column = column_of(sharer_of(warp) * PART, n);
        const float x = ELEMENT(gathered.o[r], n) * factor, y = ELEMENT(gathered.o[r], n + 1) * factor;
        if (column < VALUE_DIMENSION) *(__global uint *)(to + column) = rounded_pair(x, y);
      }
    }
  }
}
