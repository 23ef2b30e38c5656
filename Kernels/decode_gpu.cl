// Pieces of decode.cl on a GPU: a work-group of ITEMS work-items walks the keys of its piece, a tile at a time. The rows of
// a piece are at most ROWS.
//
//   scores   KEY_LANES work-items share a key: each has a share of its dimension, and every fourth float of it meets all rows
//   softmax  a weight a work-item, KEY_LANES work-items a row's maximum and sum
//   values   a work-item has four columns of all rows in registers, and every SPLITS-th key of the tile; the splits are
//            added up at the end of the piece
//
// A weight of −1 marks a hidden key, whose value does not count whatever it is.
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

#define KEY_FOURS ((KEY_WIDTH + 3) / 4)
#define VALUE_FOURS ((VALUE_WIDTH + 3) / 4)
#define SPLITS (VALUE_FOURS < ITEMS ? ITEMS / VALUE_FOURS : 1)
#define COLUMNS ((VALUE_FOURS + ITEMS - 1) / ITEMS)
#define KEYS_AT_ONCE (ITEMS / KEY_LANES)

// A few columns are registers; many, which only the smallest groups have, are an array, and their code stands once.
#if COLUMNS > 8
#define UNROLLED_COLUMNS 1
#else
#define UNROLLED_COLUMNS COLUMNS
#endif

// Elements d … d + 3 of a row of `width` elements, 0 past its end.
static float4 row_four(__global const uchar *row, int d, int width, int stored) {
  if (d + 4 > width)
    return (float4)(row_element(row, d, stored), d + 1 < width ? row_element(row, d + 1, stored) : 0.0f,
                    d + 2 < width ? row_element(row, d + 2, stored) : 0.0f, 0.0f);
#if ROW_STORAGE == 0
#if defined(ALIGNED)
  return *(__global const float4 *)(row + 4 * d);
#else
  return vload4(0, (__global const float *)row + d);
#endif
#elif ROW_STORAGE == 1
  return vload_half4(0, (__global const half *)row + d);
#elif ROW_STORAGE == 2
#if defined(ALIGNED)
  return as_float4(convert_uint4(*(__global const ushort4 *)(row + 2 * d)) << 16);
#else
  return as_float4(convert_uint4(vload4(0, (__global const ushort *)row + d)) << 16);
#endif
#elif ROW_STORAGE == 3
  return convert_float4(vload4(0, (__global const char *)row + d)) *
         vload_half(d / 32, (__global const half *)(row + stored));
#else
  const uchar4 bytes = vload4(0, row + d / 32 * 16 + d % 16);
  const int4 nibbles = convert_int4(d % 32 < 16 ? bytes & (uchar)15 : bytes >> (uchar)4);
  return convert_float4(nibbles - 8) * vload_half(d / 32, (__global const half *)(row + stored / 2));
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
  const Call call = {query_heads, group, first_query, queries, block_rows, row_step, query_stride, output_stride,
                     has_sinks, rotary_pairs, interleaved};
  const Modifiers m = {scale, softcap, mask_kind, first_query, mask_query_stride, mask_key_stride, mask,
                       query_block, key_block, block_columns, block_mask};
  __global const Head *heads = (__global const Head *)work;
  const Piece piece = ((__global const Piece *)(work + pieces_at))[get_group_id(0)];
  __global const long *table = (__global const long *)(work + table_at) + piece.table;
  __global const uchar *const key_sources[SOURCES] = SOURCE_LIST(key);
  __global const uchar *const value_sources[SOURCES] = SOURCE_LIST(value);
  const Head first = heads[piece.head];
  const int item = get_local_id(0);

  __local float4 q[ROWS][KEY_FOURS];
  __local float products[ROWS][TILE_KEYS][KEY_LANES];
  __local float weights[ROWS][TILE_KEYS];
  __local float lanes[ROWS][KEY_LANES];
  __local float maximum[ROWS], sum[ROWS], rescale[ROWS];
  __local int seen[ROWS];
  __local long tile_rows[TILE_KEYS];
#if SPLITS > 1
  __local float4 gathered[ITEMS];
#endif

#pragma unroll 1
  for (int at = item; at < ROWS * KEY_FOURS * 4; at += ITEMS) {
    const int r = at / (KEY_FOURS * 4), d = at % (KEY_FOURS * 4);
    const int row = piece.first_row + min(r, piece.rows - 1);
    const Head head = heads[head_of_row(call, piece, row)];
    const int i = first_query + row % queries;
    const bool present = r < piece.rows && i < head.query_length && d < KEY_WIDTH;
    ((__local float *)q[r])[d] = present ? query_element(query + head.query + i * query_stride, d, call,
                                                         rotary + ((long)head.rotary + i) * 2 * rotary_pairs)
                                         : 0.0f;
  }
  for (int r = item; r < ROWS; r += ITEMS) {
    maximum[r] = -INFINITY;
    sum[r] = 0.0f;
    seen[r] = 0;
  }
  float4 o[ROWS][COLUMNS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++) o[r][c] = 0.0f;

  const int split = item / VALUE_FOURS;
  for (int j0 = piece.begin; j0 < piece.end; j0 += TILE_KEYS) {
    const int keys = min(TILE_KEYS, piece.end - j0);
    for (int k = item; k < keys; k += ITEMS) {
      const long place = (long)piece.place + (j0 - piece.begin) + k;
      tile_rows[k] = table[place / block_rows] + place % block_rows * row_step;
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // Products, a share of the dimension each.
    for (int k = item / KEY_LANES; k < TILE_KEYS; k += KEYS_AT_ONCE) {
      float share[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; r++) share[r] = 0.0f;
      if (k < keys) {
        const long at = tile_rows[k];
        __global const uchar *row = key_sources[source_of(at)] + (first.key + place_of(at)) * ROW_BYTES(KEY_WIDTH);
        for (int d = item % KEY_LANES; d < KEY_FOURS; d += KEY_LANES) {
          const float4 four = row_four(row, d * 4, KEY_WIDTH, KEY_WIDTH);
#pragma unroll
          for (int r = 0; r < ROWS; r++) share[r] += dot(four, q[r][d]);
        }
      }
#pragma unroll
      for (int r = 0; r < ROWS; r++) products[r][k][item % KEY_LANES] = share[r];
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // Scores.
#pragma unroll 1
    for (int at = item; at < ROWS * TILE_KEYS; at += ITEMS) {
      const int r = at / TILE_KEYS, k = at % TILE_KEYS;
      const int row = piece.first_row + min(r, piece.rows - 1);
      const Head head = heads[head_of_row(call, piece, row)];
      const int i = first_query + row % queries;
      float product = 0.0f;
      for (int lane = 0; lane < KEY_LANES; lane++) product += products[r][k][lane];
      int visible = 0;
      float score = -INFINITY;
      if (r < piece.rows && k < keys && i < head.query_length)
        score = modified_scores(m, head, i, j0 + k, product, &visible);
      weights[r][k] = score;
      // Scores of −∞ may be visible: their weight is 0, not that of a hidden key.
      products[r][k][0] = visible ? 0.0f : -1.0f;
      if (visible) seen[r] = 1;
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    for (int at = item; at < ROWS * KEY_LANES; at += ITEMS) {
      const int r = at / KEY_LANES, lane = at % KEY_LANES;
      float largest = -INFINITY;
      for (int k = lane; k < TILE_KEYS; k += KEY_LANES) largest = weights[r][k] > largest ? weights[r][k] : largest;
      lanes[r][lane] = largest;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = item; r < ROWS; r += ITEMS) {
      const float before = maximum[r];
      float after = before;
      for (int lane = 0; lane < KEY_LANES; lane++) after = lanes[r][lane] > after ? lanes[r][lane] : after;
      rescale[r] = before == after ? 1.0f : rescaling(before, after);
      maximum[r] = after;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
    for (int at = item; at < ROWS * TILE_KEYS; at += ITEMS) {
      const int r = at / TILE_KEYS, k = at % TILE_KEYS;
      weights[r][k] = products[r][k][0] < 0.0f ? -1.0f : exponential(weights[r][k] - shift_of(maximum[r]));
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int at = item; at < ROWS * KEY_LANES; at += ITEMS) {
      const int r = at / KEY_LANES, lane = at % KEY_LANES;
      float total = 0.0f;
      for (int k = lane; k < TILE_KEYS; k += KEY_LANES) total += weights[r][k] < 0.0f ? 0.0f : weights[r][k];
      lanes[r][lane] = total;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = item; r < ROWS; r += ITEMS) {
      float total = 0.0f;
      for (int lane = 0; lane < KEY_LANES; lane++) total += lanes[r][lane];
      sum[r] = sum[r] * rescale[r] + total;
    }

    // Values.
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll UNROLLED_COLUMNS
      for (int c = 0; c < COLUMNS; c++) o[r][c] *= rescale[r];
    if (split < SPLITS) {
      for (int k = split; k < keys; k += SPLITS) {
        const long at = tile_rows[k];
        __global const uchar *row =
            value_sources[source_of(at)] + (first.value + place_of(at)) * ROW_BYTES(VALUE_STORED);
#pragma unroll UNROLLED_COLUMNS
        for (int c = 0; c < COLUMNS; c++) {
          const int four = item % VALUE_FOURS + c * ITEMS;
          if (four >= VALUE_FOURS) continue;
          const float4 v = row_four(row, four * 4, VALUE_WIDTH, VALUE_STORED);
#pragma unroll
          for (int r = 0; r < ROWS; r++) {
            const float p = weights[r][k];
            if (!(p < 0.0f)) o[r][c] += p * v;
          }
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  // (A piece without keys has passed none.)
  barrier(CLK_LOCAL_MEM_FENCE);

  // Where the dimension is wider than the group, an item has several columns and there is one split, which nobody waits for.
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int row = piece.first_row + min(r, piece.rows - 1);
    const Head head = heads[head_of_row(call, piece, row)];
    const int i = first_query + row % queries;
    const bool present = r < piece.rows && i < head.query_length;
    const long at = piece.partial < 0 ? -1 : (long)piece.partial + row;
    float factor = 1.0f;
    if (at < 0) factor = end_of_row(maximum[r], sum[r], seen[r], has_sinks, head.sink).factor;
    if (present && item == 0) store_end(call, head, i, at, maximum[r], sum[r], seen[r], log_sum_exp, ends, &factor);
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++) {
      const int four = item + c * ITEMS;
      float4 total = o[r][c];
#if SPLITS > 1
      gathered[item] = total;
      barrier(CLK_LOCAL_MEM_FENCE);
      if (item < VALUE_FOURS)
        for (int s = 1; s < SPLITS; s++) total += gathered[item + s * VALUE_FOURS];
      barrier(CLK_LOCAL_MEM_FENCE);
#endif
      if (item < VALUE_FOURS && four < VALUE_FOURS && present) {
        total *= factor;
        const float columns[4] = {total.x, total.y, total.z, total.w};
        for (int n = four * 4; n < min(four * 4 + 4, VALUE_WIDTH); n++) {
          if (at < 0) store_element(output, head.output + i * output_stride + n, columns[n - four * 4]);
          else partial[at * VALUE_WIDTH + n] = columns[n - four * 4];
        }
      }
    }
  }
}
