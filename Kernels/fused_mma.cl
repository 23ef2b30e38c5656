// O = softmax(modifiers(Q·Kᵀ))·V in one pass over the keys, by matrix units (matrix_units.cl), for float16 and bfloat16
// (FlashAttention-2: Dao 2023). A work-group owns TILE_ROWS queries of one head, 16 a warp, and walks over their keys, TILE_KEYS
// at a time.
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
// A warp has 16 rows, all keys of the tile and all columns of the output, so a row's maximum and sum meet within four lanes.
// Two 16 × 8 products of scores side by side are, lane for lane, the 16 × 16 left factor of P·V: P never leaves registers.
//
// Arithmetic is float32 here too. A weight, which is a float32, goes through the matrix units in two parts of the storage
// type, w = high + low, so that 22 bits of it count in float16 and 16 in bfloat16 (one part would be 11 and 8). Weights are
// carried times WEIGHT_ONE, so that those of float16 that are small beside their row's largest are not below its least number.
//
// A value that is ∞ or NaN would make NaN of low · ∞, and of 0 · NaN where it is hidden. Neither happens unseen: what is not
// finite remains so in O. Where a group's output is not finite at the end, all of it is done once more, carefully, with
// products of V by ordinary arithmetic that passes over hidden pairs.
//
// Built with -DSCORE_WIDTH=1.

#ifndef HEAD_DIMENSION
#define HEAD_DIMENSION 64
#endif
#ifndef VALUE_DIMENSION
#define VALUE_DIMENSION 64
#endif

// Rows are multiples of 16 bytes in memory. In local memory their width is a multiple of 16, with zeros in between, and eight
// more, so that eight neighbouring rows of 16 bytes, which are read together, are in different banks.
#define KEY_WIDTH ROUNDED_UP(HEAD_DIMENSION, 16)
#define VALUE_WIDTH ROUNDED_UP(VALUE_DIMENSION, 16)
#define KEY_STRIDE (KEY_WIDTH + 8)
#define VALUE_STRIDE (VALUE_WIDTH + 8)

// Steps of the inner dimension of Q·Kᵀ; products beside one another in S and O.
#define KEY_STEPS (KEY_WIDTH / 16)
#define SCORE_BLOCKS (TILE_KEYS / 8)
#define VALUE_BLOCKS (VALUE_WIDTH / 8)

#if STORAGE == 2
#define WEIGHT_ONE_LOG2 0
#else
#define WEIGHT_ONE_LOG2 14
#endif
#define WEIGHT_ONE ((float)(1 << WEIGHT_ONE_LOG2))

#define LOG2_E 1.44269504f
#define LN_2 0.693147181f

// The score of a hidden pair: a NaN, so that maxima pass over it, and one that no arithmetic makes.
#define HIDDEN_SCORE as_float(0x7fc0feedu)
static bool is_hidden_score(float score) { return as_uint(score) == 0x7fc0feedu; }

// Starts copying TILE_KEYS rows from key j on to local memory; zeros past `end`. As many items as a whole number of rows has
// chunks of 16 bytes take part.
static void copy_rows(__local ushort *tile, int stride, __global const ushort *rows, int width, int j, int end, int item) {
  const int chunks = width / 8, rows_at_once = GROUP_ITEMS / chunks;
  const int row = item / chunks, column = item % chunks * 8;
  __local ushort *to = tile + row * stride + column;
  __global const ushort *from = rows + (long)(j + row) * width + column;
  const int left = end - j - row;
  if (row < rows_at_once) {
#pragma unroll UNROLLED
    for (int n = 0; n < TILE_KEYS; n += rows_at_once)
      if (TILE_KEYS % rows_at_once == 0 || n + row < TILE_KEYS) copy_16_bytes(to + n * stride, from + n * width, n < left);
  }
  begin_copies();
}

// Two neighbouring elements of a query; 0 past its end.
static uint query_pair(__global const ushort *query, int column) {
  return column < HEAD_DIMENSION ? *(__global const uint *)(query + column) : 0;
}

// From products to scores, of the rows i and i + 8 and the keys j + 8n, j + 8n + 1. What they are still to be multiplied by,
// log₂ e and the scale where that can wait, is the result: more than 0, so that the largest remains the largest.
static float modify_scores(float s[SCORE_BLOCKS][4], const Modifiers modifiers, __global const Head *heads, int visibility,
                           int i, int j) {
  const Head head = *heads;
  const bool plain = !(modifiers.softcap > 0.0f) && head.slope == 0.0f;
  const bool by_position = modifiers.mask_kind == MASK_NONE && modifiers.query_block == 0;
  // (A scale that vanished would make NaN of −∞.)
  if (plain && modifiers.scale > 1e-30f && (visibility == TILE_OPEN || by_position)) {
    const float scale = modifiers.scale * LOG2_E;
    if (visibility == TILE_OPEN) return scale;
    const int first[2] = {first_visible(head, i) - j, first_visible(head, i + 8) - j};
    const int end[2] = {end_visible(head, i) - j, end_visible(head, i + 8) - j};
#pragma unroll UNROLLED
    for (int n = 0; n < SCORE_BLOCKS; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const int key = 8 * n + k % 2;
        s[n][k] = key >= first[k / 2] && key < end[k / 2] ? s[n][k] : HIDDEN_SCORE;
      }
    return scale;
  }
  // The code of a product, once: each in turn is taken from the front of the line, and comes to its end.
#pragma unroll 1
  for (int n = 0; n < SCORE_BLOCKS; n++) {
    float scores[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      // (Rows past the last have no mask; they may be anything, and are the last again.)
      const int row = min(i + k / 2 * 8, head.query_length - 1);
      int visible;
      const float score = modified_scores(modifiers, head, row, j + 8 * n + k % 2, s[0][k], &visible);
      scores[k] = visible ? score : HIDDEN_SCORE;
    }
#pragma unroll UNROLLED
    for (int next = 1; next < SCORE_BLOCKS; next++)
      for (int k = 0; k < 4; k++) s[next - 1][k] = s[next][k];
#pragma unroll
    for (int k = 0; k < 4; k++) s[SCORE_BLOCKS - 1][k] = scores[k];
  }
  return LOG2_E;
}

// S = Q·Kᵀ.
static void multiply_keys(const Warp warp, float s[SCORE_BLOCKS][4], uint q[KEY_STEPS][4], __local const ushort *key) {
  const int row = (warp.lane / 16 * 8 + warp.lane % 8) * KEY_STRIDE + warp.lane / 8 % 2 * 8;
#pragma unroll UNROLLED
  for (int n = 0; n < SCORE_BLOCKS; n++)
    for (int k = 0; k < 4; k++) s[n][k] = 0.0f;
#pragma unroll UNROLLED
  for (int step = 0; step < KEY_STEPS; step++)
#pragma unroll UNROLLED
    for (int n = 0; n < SCORE_BLOCKS; n += 2) {
      uint b[4];
      load_blocks(warp, b, key, row + n * 8 * KEY_STRIDE + step * 16);
      multiply_add(warp, s[n], q[step], b[0], b[1]);
      multiply_add(warp, s[n + 1], q[step], b[2], b[3]);
    }
}

// O += P·V, the weights in two parts.
static void add_values(const Warp warp, float o[VALUE_BLOCKS][4], float p[SCORE_BLOCKS][4], __local const ushort *value) {
  const int row = warp.lane % 16 * VALUE_STRIDE + warp.lane / 16 * 8;
#pragma unroll UNROLLED
  for (int n = 0; n < SCORE_BLOCKS; n += 2) {
    uint high[4], low[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const float x = p[n + k / 2][k % 2 * 2], y = p[n + k / 2][k % 2 * 2 + 1];
      high[k] = pack(x, y);
      const float2 rounded = unpack(high[k]);
      low[k] = pack(x - rounded.x, y - rounded.y);
    }
#pragma unroll UNROLLED
    for (int v = 0; v < VALUE_BLOCKS; v += 2) {
      uint b[4];
      load_transposed_blocks(warp, b, value, row + n * 8 * VALUE_STRIDE + v * 8);
      multiply_add(warp, o[v], high, b[0], b[1]);
      multiply_add(warp, o[v + 1], high, b[2], b[3]);
      multiply_add(warp, o[v], low, b[0], b[1]);
      multiply_add(warp, o[v + 1], low, b[2], b[3]);
    }
  }
}

// The same by ordinary arithmetic, without the pairs that are hidden.
static void add_values_carefully(const Warp warp, float o[VALUE_BLOCKS][4], float p[SCORE_BLOCKS][4],
                                 __local const ushort *value) {
#pragma unroll 1
  for (int n = 0; n < SCORE_BLOCKS; n++) {
#pragma unroll 1
    for (int key = 0; key < 8; key++) {
      // The lane that has this key's weights of the rows g and 8 + g, in the first or the second place.
      const int owner = warp.lane / 4 * 4 + key / 2;
      const float first = from_lane(warp, p[0][0], owner), second = from_lane(warp, p[0][1], owner);
      const float upper = key % 2 == 0 ? first : second;
      const float third = from_lane(warp, p[0][2], owner), fourth = from_lane(warp, p[0][3], owner);
      const float lower = key % 2 == 0 ? third : fourth;
      __local const ushort *row = value + (8 * n + key) * VALUE_STRIDE + warp.lane % 4 * 2;
#pragma unroll UNROLLED
      for (int v = 0; v < VALUE_BLOCKS; v++) {
        const float2 pair = unpack(*(__local const uint *)(row + 8 * v));
        if (!is_hidden(upper)) o[v][0] += upper * pair.x, o[v][1] += upper * pair.y;
        if (!is_hidden(lower)) o[v][2] += lower * pair.x, o[v][3] += lower * pair.y;
      }
    }
#pragma unroll UNROLLED
    for (int next = 1; next < SCORE_BLOCKS; next++)
      for (int k = 0; k < 4; k++) p[next - 1][k] = p[next][k];
  }
}

// Scores of two rows, which are to be multiplied by `scale`, become weights; what the rows have gathered is rescaled to their
// new maxima.
static void update_rows(const Warp warp, float s[SCORE_BLOCKS][4], float scale, float o[VALUE_BLOCKS][4], float maximum[2],
                        float sum[2], bool open) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float m = -INFINITY;
#pragma unroll UNROLLED
    for (int n = 0; n < SCORE_BLOCKS; n++)
      for (int k = 2 * r; k < 2 * r + 2; k++) m = s[n][k] > m ? s[n][k] : m;
    m = row_maximum(warp, m) * scale;
    m = maximum[r] > m ? maximum[r] : m;
    const float shift = shift_of(m) - WEIGHT_ONE_LOG2;
    // (Of equal infinities the difference would be NaN.)
    const float factor = maximum[r] == m ? 1.0f : native_exp2(maximum[r] - m);
    maximum[r] = m;
    sum[r] *= factor;
#pragma unroll UNROLLED
    for (int n = 0; n < SCORE_BLOCKS; n++)
      for (int k = 2 * r; k < 2 * r + 2; k++) {
        s[n][k] = !open && is_hidden_score(s[n][k]) ? HIDDEN_WEIGHT : native_exp2(fma(s[n][k], scale, -shift));
        sum[r] += s[n][k];
      }
    // (Maxima soon stay as they are: for most tiles no lane of the warp comes here.)
    if (factor != 1.0f) {
#pragma unroll UNROLLED
      for (int v = 0; v < VALUE_BLOCKS; v++)
        for (int k = 2 * r; k < 2 * r + 2; k++) o[v][k] *= factor;
    }
  }
}

__kernel __attribute__((reqd_work_group_size(GROUP_ITEMS, 1, 1))) void fused_mma(
    __global const Head *heads, __global const storage_t *query, __global const storage_t *key,
    __global const storage_t *value, __global const uchar *mask, __global const uchar *mask_classes,
    __global const uchar *block_mask, __global storage_t *output, __global float *log_sum_exp,
    int first_row, int row_tiles, int head_count, int has_sinks,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride, int mask_class_stride,
    int query_block, int key_block, int block_columns) {
  __local ushort key_tile[TILE_KEYS * KEY_STRIDE] __attribute__((aligned(16)));
  __local ushort value_tile[TILE_KEYS * VALUE_STRIDE] __attribute__((aligned(16)));
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

  // The columns between the operands' width and that of the tiles.
  for (int at = item; at < TILE_KEYS; at += GROUP_ITEMS) {
    for (int column = HEAD_DIMENSION; column < KEY_WIDTH; column++) key_tile[at * KEY_STRIDE + column] = 0;
    for (int column = VALUE_DIMENSION; column < VALUE_WIDTH; column++) value_tile[at * VALUE_STRIDE + column] = 0;
  }
  if (item == 0) not_finite = 0;

  // The first of this lane's two rows. (Those past the last are the last again.)
  const int my_row = item / 32 * 16 + warp.lane / 4;
  uint q[KEY_STEPS][4];
  query += head.query + (long)i0 * HEAD_DIMENSION;
  __global const ushort *upper = query + (long)min(my_row, rows - 1) * HEAD_DIMENSION;
  __global const ushort *lower = query + (long)min(my_row + 8, rows - 1) * HEAD_DIMENSION;
#pragma unroll UNROLLED
  for (int step = 0; step < KEY_STEPS; step++) {
    const int column = 16 * step + warp.lane % 4 * 2;
    q[step][0] = query_pair(upper, column);
    q[step][1] = query_pair(lower, column);
    q[step][2] = query_pair(upper, column + 8);
    q[step][3] = query_pair(lower, column + 8);
  }

  float maximum[2], sum[2];
  float o[VALUE_BLOCKS][4];
  bool careful = false, again;
  do {
    for (int r = 0; r < 2; r++) {
      maximum[r] = -INFINITY;
      sum[r] = HIDDEN_WEIGHT;
    }
#pragma unroll UNROLLED
    for (int v = 0; v < VALUE_BLOCKS; v++)
      for (int k = 0; k < 4; k++) o[v][k] = 0.0f;
    KeyTile tile = first;
    copy_rows(key_tile, KEY_STRIDE, key, HEAD_DIMENSION, tile.j, end, item);

#pragma unroll 1
    while (tile.j < end) {
      await_copies();
      barrier(CLK_LOCAL_MEM_FENCE);  // K is there, the last V is free
      copy_rows(value_tile, VALUE_STRIDE, value, VALUE_DIMENSION, tile.j, end, item);
      const KeyTile next = next_tile(modifiers, heads, i0, tile.j + TILE_KEYS, end, mask_classes);
      float s[SCORE_BLOCKS][4];
      multiply_keys(warp, s, q, key_tile);
      const float factor =
          modify_scores(s, modifiers, heads, tile.visibility, i0 + my_row, tile.j + warp.lane % 4 * 2);
      update_rows(warp, s, factor, o, maximum, sum, tile.visibility == TILE_OPEN);
      await_copies();
      barrier(CLK_LOCAL_MEM_FENCE);  // V is there, K is free
      copy_rows(key_tile, KEY_STRIDE, key, HEAD_DIMENSION, next.j, end, item);
      if (careful) add_values_carefully(warp, o, s, value_tile);
      else add_values(warp, o, s, value_tile);
      tile = next;
    }

    bool finite = true;
#pragma unroll UNROLLED
    for (int v = 0; v < VALUE_BLOCKS; v++)
      for (int k = 0; k < 4; k++) finite = finite && isfinite(o[v][k]);
    if (!finite) atomic_or(&not_finite, 1);
    await_copies();
    barrier(CLK_LOCAL_MEM_FENCE);  // K and V are free
    again = !careful && not_finite;
    careful = true;
  } while (again);

#pragma unroll
  for (int r = 0; r < 2; r++) {
    const float total = row_sum(warp, sum[r]);
    // Back to weights of 1 at most, and to natural logarithms.
    const RowEnd row_end =
        end_of_row(maximum[r] * LN_2, total / WEIGHT_ONE, !is_hidden(total), has_sinks, heads->sink);
    const int row = my_row + 8 * r;
    if (row < rows) {
      if (warp.lane % 4 == 0) log_sum_exp[heads->log_sum_exp + i0 + row] = row_end.log_sum_exp;
      __global storage_t *to = output + heads->output + (long)(i0 + row) * VALUE_DIMENSION;
      const float factor = row_end.factor / WEIGHT_ONE;
#pragma unroll UNROLLED
      for (int v = 0; v < VALUE_BLOCKS; v++) {
        const int column = 8 * v + warp.lane % 4 * 2;
        if (column < VALUE_DIMENSION)
          *(__global uint *)(to + column) = pack(o[v][2 * r] * factor, o[v][2 * r + 1] * factor);
      }
    }
  }
}
