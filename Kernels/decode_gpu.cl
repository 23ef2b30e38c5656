// Pieces of decode.cl on a GPU: a work-group of ITEMS work-items walks the keys of its piece, a tile at a time. The rows of
// a piece are at most ROWS.
//
//   scores   PRODUCT_LANES work-items share a key: each has a share of its units, and every unit meets all rows
//   softmax  a weight a work-item, KEY_LANES work-items a row's maximum and sum
//   values   a work-item has a unit of columns of all rows in registers, and every SPLITS-th key of the tile; the splits are
//            added up at the end of the piece
//
// A weight of −1 marks a hidden key, whose value does not count whatever it is. What is looked up by number, the buffers and
// heads, is in local memory: an array of the kernel's arguments would be private memory, or registers that it has not got.
//
// Built with -DSCORE_WIDTH=1.

#ifndef ROWS
#define ROWS 4
#endif
#ifndef ITEMS
#define ITEMS 128
#endif
#ifndef KEY_LANES
#define KEY_LANES 8
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif

// No more than there are units, and a divisor of the group.
#if KEY_UNITS >= KEY_LANES
#define PRODUCT_LANES KEY_LANES
#elif KEY_UNITS >= 4
#define PRODUCT_LANES 4
#elif KEY_UNITS >= 2
#define PRODUCT_LANES 2
#else
#define PRODUCT_LANES 1
#endif
#define KEYS_AT_ONCE (ITEMS / PRODUCT_LANES)

#define HEAD_LONGS ((int)(sizeof(Head) / sizeof(long)))
#define KEY_FOURS (KEY_UNITS * FOURS)
#define SPLITS (VALUE_UNITS < ITEMS ? ITEMS / VALUE_UNITS : 1)
#define COLUMNS ((VALUE_UNITS + ITEMS - 1) / ITEMS)

// A few units of columns are registers; many, which only the smallest groups have, are an array, and their code stands once.
#if COLUMNS > 8
#define UNROLLED_COLUMNS 1
#else
#define UNROLLED_COLUMNS COLUMNS
#endif

// Four columns of a row that is whole to where it belongs, and of one in pieces to where they are merged.
static void store_columns(bool whole, long target, int column, float4 four, __global storage_t *output,
                          __global float *partial) {
  const int left = VALUE_WIDTH - column;
  if (left <= 0) return;
  if (whole) {
    store_four(output, target + column, four, left);
    return;
  }
#if VALUE_WIDTH % 4 == 0
  *(__global float4 *)(partial + target + column) = four;
#else
  partial[target + column] = four.x;
  if (left > 1) partial[target + column + 1] = four.y;
  if (left > 2) partial[target + column + 2] = four.z;
  if (left > 3) partial[target + column + 3] = four.w;
#endif
}

__kernel PINNED __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void decode_gpu(
    __global const uchar *work, __global const storage_t *query, SOURCE_ARGUMENTS(key), SOURCE_ARGUMENTS(value),
    __global const float *rotary, __global const uchar *mask, __global const uchar *block_mask,
    __global storage_t *output, __global float *log_sum_exp, __global float *partial, __global float *ends,
    int pieces_at, int table_at,
    int query_heads, int group, int first_query, int queries, int block_rows, int row_step,
    long query_stride, long output_stride, int has_sinks, int rotary_pairs, int interleaved,
    float scale, float softcap, int mask_kind, long mask_query_stride, long mask_key_stride,
    int query_block, int key_block, int block_columns) {
  __global const uchar *__local key_sources[SOURCES];
  __global const uchar *__local value_sources[SOURCES];
  // (By all items, the same to the same place: a branch would have the arguments wait for it in registers.)
  __global const uchar *const keys_given[SOURCES] = SOURCE_LIST(key);
  __global const uchar *const values_given[SOURCES] = SOURCE_LIST(value);
#pragma unroll
  for (int s = 0; s < SOURCES; s++) key_sources[s] = keys_given[s];
#pragma unroll
  for (int s = 0; s < SOURCES; s++) value_sources[s] = values_given[s];
  const Call call = {query_heads, group, first_query, queries, block_rows, row_step, query_stride, output_stride,
                     has_sinks, rotary_pairs, interleaved};
  const Modifiers m = {scale, softcap, mask_kind, first_query, mask_query_stride, mask_key_stride, mask,
                       query_block, key_block, block_columns, block_mask};
  __global const Head *heads = (__global const Head *)work;
  const Piece piece = ((__global const Piece *)(work + pieces_at))[get_group_id(0)];
  __global const long *table = (__global const long *)(work + table_at) + piece.table;
  const int item = get_local_id(0);

  __local float4 q[ROWS][KEY_FOURS];
  __local float products[ROWS][TILE_KEYS][PRODUCT_LANES];
  __local float weights[ROWS][TILE_KEYS];
  __local float lanes[ROWS][KEY_LANES];
  __local float maximum[ROWS], sum[ROWS], rescale[ROWS];
  __local int seen[ROWS];
  __local Head row_heads[ROWS];
  __local int row_queries[ROWS];  // the query that the row is; −1 where there is none
  __local int tile_keys;
  __local long targets[ROWS];     // where its output goes
  __global const uchar *__local key_rows[TILE_KEYS];
  __global const uchar *__local value_rows[TILE_KEYS];
#if SPLITS > 1
  __local float4 gathered[FOURS][ITEMS];
#endif

  for (int r = item; r < ROWS; r += ITEMS) {
    const int row = piece.first_row + min(r, piece.rows - 1);
    const int i = first_query + row % queries;
    __global const Head *head = heads + head_of_row(call, piece, row);
    // (As numbers: a compiler copies a structure byte by byte.)
#pragma unroll
    for (int n = 0; n < HEAD_LONGS; n++)
      ((__local long *)&row_heads[r])[n] = ((__global const long *)head)[n];
    row_queries[r] = r < piece.rows && i < head->query_length ? i : -1;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
  for (int at = item; at < ROWS * KEY_FOURS; at += ITEMS) {
    const int r = at / KEY_FOURS, four = at % KEY_FOURS;
    const int i = row_queries[r];
    q[r][four] = 0.0f;
    if (i >= 0 && four * 4 < KEY_WIDTH)
      q[r][four] = query_four(query + row_heads[r].query + i * query_stride, four * 4, KEY_WIDTH, call,
                              rotary + ((long)row_heads[r].rotary + i) * 2 * rotary_pairs);
  }
  for (int r = item; r < ROWS; r += ITEMS) {
    maximum[r] = -INFINITY;
    sum[r] = 0.0f;
    rescale[r] = 1.0f;
    seen[r] = 0;
  }
  // Of rows that the piece has not.
  for (int at = item; at < ROWS * TILE_KEYS; at += ITEMS) weights[at / TILE_KEYS][at % TILE_KEYS] = -1.0f;
  float4 o[ROWS][COLUMNS][FOURS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++)
#pragma unroll
      for (int n = 0; n < FOURS; n++) o[r][c][n] = 0.0f;

  const int split = item / VALUE_UNITS;
  const long first_key = row_heads[0].key, first_value = row_heads[0].value;
  for (int j0 = piece.begin; j0 < piece.end; j0 += TILE_KEYS) {
    if (item == 0) tile_keys = min(TILE_KEYS, piece.end - j0);
    for (int k = item; k < min(TILE_KEYS, piece.end - j0); k += ITEMS) {
      const uint place = piece.place + (j0 - piece.begin) + k;
      const long row = table[place / (uint)block_rows] + (long)(place % (uint)block_rows) * row_step;
      key_rows[k] = key_sources[source_of(row)] + (first_key + place_of(row)) * ROW_BYTES(KEY_WIDTH);
      value_rows[k] = value_sources[source_of(row)] + (first_value + place_of(row)) * ROW_BYTES(VALUE_STORED);
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // (From local memory: a compiler that knew its bound would unroll the loops over keys, in more registers than there are.)
    const int keys = tile_keys;

    // Products, a share of the dimension each.
#pragma unroll 1
    for (int k = item / PRODUCT_LANES; k < keys; k += KEYS_AT_ONCE) {
      float share[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; r++) share[r] = 0.0f;
#pragma unroll 1
      for (int u = item % PRODUCT_LANES; u < KEY_UNITS; u += PRODUCT_LANES) {
        float4 unit[FOURS];
        load_unit(unit, key_rows[k], u, KEY_WIDTH, KEY_WIDTH);
#pragma unroll
        for (int n = 0; n < FOURS; n++)
#pragma unroll
          for (int r = 0; r < ROWS; r++) share[r] += dot(unit[n], q[r][four_of_unit(u, n)]);
      }
#pragma unroll
      for (int r = 0; r < ROWS; r++) products[r][k][item % PRODUCT_LANES] = share[r];
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // Scores.
#pragma unroll 1
    for (int at = item; at < piece.rows * TILE_KEYS; at += ITEMS) {
      const int r = at / TILE_KEYS, k = at % TILE_KEYS;
      const int i = row_queries[r];
      int visible = 0;
      float score = -INFINITY;
      if (i >= 0 && k < keys) {
        float product = 0.0f;
        for (int lane = 0; lane < PRODUCT_LANES; lane++) product += products[r][k][lane];
        score = modified_scores(m, row_heads[r], i, j0 + k, product, &visible);
      }
      weights[r][k] = score;
      // Scores of −∞ may be visible: their weight is 0, not that of a hidden key.
      products[r][k][0] = visible ? 0.0f : -1.0f;
      if (visible) seen[r] = 1;
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    for (int at = item; at < piece.rows * KEY_LANES; at += ITEMS) {
      const int r = at / KEY_LANES, lane = at % KEY_LANES;
      float largest = -INFINITY;
      for (int k = lane; k < TILE_KEYS; k += KEY_LANES) largest = weights[r][k] > largest ? weights[r][k] : largest;
      lanes[r][lane] = largest;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = item; r < piece.rows; r += ITEMS) {
      const float before = maximum[r];
      float after = before;
      for (int lane = 0; lane < KEY_LANES; lane++) after = lanes[r][lane] > after ? lanes[r][lane] : after;
      rescale[r] = before == after ? 1.0f : rescaling(before, after);
      maximum[r] = after;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
    for (int at = item; at < piece.rows * TILE_KEYS; at += ITEMS) {
      const int r = at / TILE_KEYS, k = at % TILE_KEYS;
      weights[r][k] = products[r][k][0] < 0.0f ? -1.0f : exponential(weights[r][k] - shift_of(maximum[r]));
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int at = item; at < piece.rows * KEY_LANES; at += ITEMS) {
      const int r = at / KEY_LANES, lane = at % KEY_LANES;
      float total = 0.0f;
      for (int k = lane; k < TILE_KEYS; k += KEY_LANES) total += weights[r][k] < 0.0f ? 0.0f : weights[r][k];
      lanes[r][lane] = total;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = item; r < piece.rows; r += ITEMS) {
      float total = 0.0f;
      for (int lane = 0; lane < KEY_LANES; lane++) total += lanes[r][lane];
      sum[r] = sum[r] * rescale[r] + total;
    }

    // Values.
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll UNROLLED_COLUMNS
      for (int c = 0; c < COLUMNS; c++)
#pragma unroll
        for (int n = 0; n < FOURS; n++) o[r][c][n] *= rescale[r];
    if (split < SPLITS) {
#pragma unroll 1
      for (int k = split; k < keys; k += SPLITS) {
#pragma unroll UNROLLED_COLUMNS
        for (int c = 0; c < COLUMNS; c++) {
          const int u = item % VALUE_UNITS + c * ITEMS;
          if (COLUMNS > 1 && u >= VALUE_UNITS) continue;
          float4 unit[FOURS];
          load_unit(unit, value_rows[k], u, VALUE_WIDTH, VALUE_STORED);
#pragma unroll
          for (int r = 0; r < ROWS; r++) {
            const float p = weights[r][k];
            if (p < 0.0f) continue;
#pragma unroll
            for (int n = 0; n < FOURS; n++) o[r][c][n] += p * unit[n];
          }
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  // (A piece without keys has passed none.)
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = item; r < ROWS; r += ITEMS) {
    const int i = row_queries[r], row = piece.first_row + r;
    const long at = piece.partial < 0 ? -1 : (long)piece.partial + row;
    targets[r] = at < 0 ? row_heads[r].output + i * output_stride : at * VALUE_WIDTH;
    float factor = 1.0f;
    if (i >= 0)
      store_end(call, row_heads[r], i, at, maximum[r], sum[r], seen[r], log_sum_exp, ends, &factor);
    rescale[r] = factor;
  }
  barrier(CLK_LOCAL_MEM_FENCE);

  const bool whole = piece.partial < 0;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#if SPLITS > 1
#pragma unroll
    for (int n = 0; n < FOURS; n++) gathered[n][item] = o[r][0][n];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int at = item; at < VALUE_UNITS * FOURS && row_queries[r] >= 0; at += ITEMS) {
      const int u = at % VALUE_UNITS, n = at / VALUE_UNITS;
      float4 total = 0.0f;
      for (int s = 0; s < SPLITS; s++) total += gathered[n][u + s * VALUE_UNITS];
      store_columns(whole, targets[r], 4 * four_of_unit(u, n), total * rescale[r], output, partial);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#else
    // Where the dimension is as wide as the group or wider, an item has units of columns to itself, and nobody waits.
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++) {
      const int u = item + c * ITEMS;
      if (u >= VALUE_UNITS || row_queries[r] < 0) continue;
#pragma unroll
      for (int n = 0; n < FOURS; n++)
        store_columns(whole, targets[r], 4 * four_of_unit(u, n), o[r][c][n] * rescale[r], output, partial);
    }
#endif
  }
}
