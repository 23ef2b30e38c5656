// Pieces of decode.cl on a GPU: a work-group of ITEMS work-items walks the keys of its piece, a tile at a time. The rows of
// a piece are at most ROWS.
//
// What takes the time is waiting for memory, so an item loads several units, of different keys, before it uses the first,
// and has the tile's values on their way while the group is busy with the softmax. For the same reason barriers are few: the
// keys of a tile are dealt out to SPLITS, each with a maximum, a sum and an output of its own from the beginning of the piece
// to its end (flash decoding within the group: Dao et al. 2023), and only there do splits learn of each other.
//
//   products  PRODUCT_LANES items share a key: each has a share of its units, and every unit meets all rows
//             load the values                                                                         barrier A
//   softmax   an item has one row of one split; other items find out where the next tile's keys are   barrier B
//   values    an item has a unit of columns of all rows in registers, and the keys of its split
//
//               keys of a tile ─►
//               k  0 1 2 3 0 1 2 3 0 1 2 3     its split, of SPLITS 4
//             ┌────────────────────────────┐
//   rows      │   scores, then weights     │   m, l of each row and split, in local memory
//             └────────────────────────────┘
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
// Units that an item loads before it uses the first: fewer where its outputs take more registers, and where the size of
// sub-groups is pinned because there are few.
#ifdef SUBGROUP
#define LOADS (ROWS * FOURS > 4 ? 2 : 4)
#else
#define LOADS (ROWS * FOURS > 4 ? 4 : 8)
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

#define SMALLER(a, b) ((a) < (b) ? (a) : (b))
#define PARTS(n, size) (((n) + (size) - 1) / (size))

#define HEAD_WORDS ((int)(sizeof(Head) / sizeof(int)))
#define KEY_FOURS (KEY_UNITS * FOURS)

// Keys that an item has a share in together, so that they meet a four of the query while it is in registers; and units of
// each that it loads at a time.
#define ITEM_KEYS SMALLER(PARTS(TILE_KEYS, KEYS_AT_ONCE), SMALLER(4, LARGER(1, 8 / ROWS)))
#define ITEM_UNITS PARTS(KEY_UNITS, PRODUCT_LANES)
#define UNITS_AT_ONCE SMALLER(ITEM_UNITS, LARGER(1, LOADS / ITEM_KEYS))

// Units of columns of an item. With one, which is the rule, values are loaded ahead; several, which only the smallest groups
// have, are an array, and their code stands once.
#define COLUMNS PARTS(VALUE_UNITS, ITEMS)
#if COLUMNS > 8
#define UNROLLED_COLUMNS 1
#else
#define UNROLLED_COLUMNS COLUMNS
#endif

#define SPLITS SMALLER(TILE_KEYS, LARGER(1, ITEMS / VALUE_UNITS))
// Keys of a tile that a split has, and that an item loads the values of at a time.
#define SPLIT_KEYS PARTS(TILE_KEYS, SPLITS)
#define VALUES_AT_ONCE SMALLER(SPLIT_KEYS, LOADS)
#define KEY_OF_SPLIT(n, split) ((n) * SPLITS + (split))

// Local memory that has products of a tile and, at the end, outputs of splits: those of GATHERED_ROWS rows at a time.
#define PRODUCT_FOURS PARTS(ROWS * TILE_KEYS * PRODUCT_LANES, 4)
#define GATHERED_FOURS (FOURS * ITEMS)
#define GATHERED_ROWS SMALLER(ROWS, LARGER(1, PRODUCT_FOURS / GATHERED_FOURS))

// The query that row r of a piece is; −1 where there is none.
static int query_of_row(const Call call, const Piece piece, int r, int query_length) {
  const int i = call.first_query + (piece.first_row + r) % call.queries;
  return r < piece.rows && i < query_length ? i : -1;
}

// Where the keys and values of a piece are.
typedef struct {
  __global const uchar *key_sources[SOURCES], *value_sources[SOURCES];
  __global const long *table;
  long first_key, first_value;  // rows of the head that come before
  int place, keys;
  // 1, but that no compiler knows: one that knew how often a loop runs would unroll it whatever it is told, in more
  // registers than there are.
  int once;
  int plain;  // whether a score is a product · scale, and only its position hides a key
} Rows;

// The rows of a tile's keys and values; past the last key, if there is one in the tile, the last again.
static void find_rows(__local const Rows *rows, int first, int block_rows, int row_step,
                      __global const uchar *__local *key_rows, __global const uchar *__local *value_rows, int item) {
  for (int k = item; k < TILE_KEYS && first < rows->keys; k += ITEMS) {
    const uint place = rows->place + min(first + k, rows->keys - 1);
    // (An array is one block, and a division is long.)
    const uint entry = place < (uint)block_rows ? 0 : place / (uint)block_rows;
    const long row = rows->table[entry] + (long)(place - entry * block_rows) * row_step;
    key_rows[k] = rows->key_sources[source_of(row)] + (rows->first_key + place_of(row)) * ROW_BYTES(KEY_WIDTH);
    value_rows[k] = rows->value_sources[source_of(row)] + (rows->first_value + place_of(row)) * ROW_BYTES(VALUE_STORED);
  }
}

// The sum of what the items that share a key have found.
static float sum_of_lanes(__local const float *lanes) {
  float share[PRODUCT_LANES];
  load_floats(share, lanes, PRODUCT_LANES);
  float product = 0.0f;
#pragma unroll
  for (int lane = 0; lane < PRODUCT_LANES; lane++) product += share[lane];
  return product;
}

#if COLUMNS == 1
// A unit of columns of the values of a split's keys, from its key `first` in the tile on.
static void load_values(packed_t values[VALUES_AT_ONCE], __global const uchar *__local *value_rows, int first, int split,
                        int unit) {
#pragma unroll
  for (int a = 0; a < VALUES_AT_ONCE; a++)
    values[a] = load_unit(value_rows[min(KEY_OF_SPLIT(first + a, split), TILE_KEYS - 1)], unit, VALUE_WIDTH, VALUE_STORED);
}
#endif

// By what a sum under the maximum `before` counts under `after`: 1 where they are the same, infinite ones too.
static float factor_between(float before, float after) { return before == after ? 1.0f : rescaling(before, after); }

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
  // (By all items, the same to the same place: a branch would have the arguments wait for it in registers.)
  __local Rows rows;
  __global const uchar *const keys_given[SOURCES] = SOURCE_LIST(key);
  __global const uchar *const values_given[SOURCES] = SOURCE_LIST(value);
#pragma unroll
  for (int s = 0; s < SOURCES; s++) rows.key_sources[s] = keys_given[s];
#pragma unroll
  for (int s = 0; s < SOURCES; s++) rows.value_sources[s] = values_given[s];
  const Call call = {query_heads, group, first_query, queries, block_rows, row_step, query_stride, output_stride,
                     has_sinks, rotary_pairs, interleaved};
  const Modifiers m = {scale, softcap, mask_kind, first_query, mask_query_stride, mask_key_stride, mask,
                       query_block, key_block, block_columns, block_mask};
  __global const Head *heads = (__global const Head *)work;
  const Piece piece = ((__global const Piece *)(work + pieces_at))[get_group_id(0)];
  const int item = get_local_id(0);

  __local float4 q[ROWS][FOURS][KEY_UNITS];
  __local float4 scratch[LARGER(PRODUCT_FOURS, GATHERED_ROWS * GATHERED_FOURS)];
  __local float weights[SPLIT_KEYS * SPLITS][ROWS] __attribute__((aligned(16)));
  __local float maximum[ROWS][SPLITS], sum[ROWS][SPLITS], rescale[ROWS][SPLITS];
  __local int seen[ROWS][SPLITS];
  __local int hidden[ROWS][SPLITS];  // whether a key of the split is hidden, of this tile
  __local Head row_heads[ROWS];
  __local int row_queries[ROWS];                 // the query that the row is; −1 where there is none
  __local int row_begins[ROWS], row_ends[ROWS];  // the keys that it sees by position
  __local long targets[ROWS];                    // where its output goes
  __global const uchar *__local key_rows[TILE_KEYS];
  __global const uchar *__local value_rows[2][TILE_KEYS];  // of this tile and the next, in turns
  __local float(*const products)[TILE_KEYS][PRODUCT_LANES] = (__local float(*)[TILE_KEYS][PRODUCT_LANES])scratch;

  for (int at = item; at < ROWS * HEAD_WORDS; at += ITEMS) {
    const int r = at / HEAD_WORDS, n = at % HEAD_WORDS;
    __global const Head *head = heads + head_of_row(call, piece, piece.first_row + min(r, piece.rows - 1));
    // (As numbers: a compiler copies a structure byte by byte. As longs Mesa 22.3 copies nothing.)
    ((__local int *)&row_heads[r])[n] = ((__global const int *)head)[n];
  }
  if (item == 0) {
    rows.table = (__global const long *)(work + table_at) + piece.table;
    rows.first_key = heads[head_of_row(call, piece, piece.first_row)].key;
    rows.first_value = heads[head_of_row(call, piece, piece.first_row)].value;
    rows.place = piece.place;
    rows.keys = piece.end - piece.begin;
    rows.once = 1;
  }
  barrier(CLK_LOCAL_MEM_FENCE);

  find_rows(&rows, 0, block_rows, row_step, key_rows, value_rows[0], item);
#pragma unroll 1
  for (int at = item; at < ROWS * KEY_FOURS; at += ITEMS) {
    const int r = at / KEY_FOURS, n = at / KEY_UNITS % FOURS, u = at % KEY_UNITS;
    const int i = query_of_row(call, piece, r, row_heads[r].query_length), d = four_of_unit(u, n) * 4;
    q[r][n][u] = i < 0 || d >= KEY_WIDTH
                     ? 0.0f
                     : query_four(query + row_heads[r].query + i * query_stride, d, KEY_WIDTH, call,
                                  rotary + ((long)row_heads[r].rotary + i) * 2 * rotary_pairs);
  }
  if (item == 0) {
    int plain = softcap == 0.0f && mask_kind == MASK_NONE && query_block == 0;
    for (int r = 0; r < ROWS; r++) plain = plain && row_heads[r].slope == 0.0f;
    rows.plain = plain;
  }
  for (int r = item; r < ROWS; r += ITEMS) {
    const int i = query_of_row(call, piece, r, row_heads[r].query_length);
    row_queries[r] = i;
    row_begins[r] = first_visible(row_heads[r], i);
    row_ends[r] = end_visible(row_heads[r], i);
  }
  for (int at = item; at < ROWS * SPLITS; at += ITEMS) {
    const int r = at / SPLITS, split = at % SPLITS;
    maximum[r][split] = -INFINITY;
    sum[r][split] = 0.0f;
    rescale[r][split] = 1.0f;
    seen[r][split] = hidden[r][split] = 0;
  }
  // Of rows that the piece has not.
  for (int at = item; at < SPLIT_KEYS * SPLITS * ROWS; at += ITEMS) weights[at / ROWS][at % ROWS] = 0.0f;
  float4 o[ROWS][COLUMNS][FOURS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++)
#pragma unroll
      for (int n = 0; n < FOURS; n++) o[r][c][n] = 0.0f;
  barrier(CLK_LOCAL_MEM_FENCE);

  const int lane = item % PRODUCT_LANES, own_split = item / VALUE_UNITS, column_unit = item % VALUE_UNITS;
  for (int j0 = piece.begin, turn = 0; j0 < piece.end; j0 += TILE_KEYS, turn ^= 1) {
    const int keys = min(TILE_KEYS, piece.end - j0);

    // Products. (Keys past the last are the last again.)
#pragma unroll 1
    for (int k0 = item / PRODUCT_LANES; k0 < TILE_KEYS * rows.once; k0 += ITEM_KEYS * KEYS_AT_ONCE) {
      float share[ITEM_KEYS][ROWS];
      __global const uchar *shared_keys[ITEM_KEYS];
#pragma unroll
      for (int c = 0; c < ITEM_KEYS; c++) {
        shared_keys[c] = key_rows[min(k0 + c * KEYS_AT_ONCE, TILE_KEYS - 1)];
#pragma unroll
        for (int r = 0; r < ROWS; r++) share[c][r] = 0.0f;
      }
#pragma unroll 1
      for (int first = lane; first < KEY_UNITS * rows.once; first += PRODUCT_LANES * UNITS_AT_ONCE) {
        packed_t units[UNITS_AT_ONCE][ITEM_KEYS];
#pragma unroll
        for (int a = 0; a < UNITS_AT_ONCE; a++)
#pragma unroll
          for (int c = 0; c < ITEM_KEYS; c++)
            units[a][c] =
                load_unit(shared_keys[c], min(first + a * PRODUCT_LANES, KEY_UNITS - 1), KEY_WIDTH, KEY_WIDTH);
        // Each in turn from the front of the line: a compiler would unpack all of them before it multiplies the first.
#pragma unroll 1
        for (int a = 0; a < UNITS_AT_ONCE * rows.once; a++) {
          const int u = first + a * PRODUCT_LANES;
          if (KEY_UNITS % (PRODUCT_LANES * UNITS_AT_ONCE) == 0 || u < KEY_UNITS) {
#pragma unroll
            for (int n = 0; n < FOURS; n++) {
              float4 k[ITEM_KEYS];
#pragma unroll
              for (int c = 0; c < ITEM_KEYS; c++) k[c] = four_of_packed(units[0][c], n);
#pragma unroll
              for (int r = 0; r < ROWS; r++) {
                const float4 four = q[r][n][u];
#pragma unroll
                for (int c = 0; c < ITEM_KEYS; c++) {
                  share[c][r] += four.x * k[c].x;
                  share[c][r] += four.y * k[c].y;
                  share[c][r] += four.z * k[c].z;
                  share[c][r] += four.w * k[c].w;
                }
              }
            }
          }
#pragma unroll
          for (int b = 1; b < UNITS_AT_ONCE; b++)
#pragma unroll
            for (int c = 0; c < ITEM_KEYS; c++) units[b - 1][c] = units[b][c];
        }
      }
#pragma unroll
      for (int c = 0; c < ITEM_KEYS; c++) {
        const int k = k0 + c * KEYS_AT_ONCE;
        if (TILE_KEYS % KEYS_AT_ONCE == 0 || k < TILE_KEYS) {
#pragma unroll
          for (int r = 0; r < ROWS; r++) products[r][k][lane] = share[c][r];
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    // Scores that are more than a product · scale, or hidden by more than their position. The item whose they are in the
    // softmax writes them down, and in place of the first share whether they are visible: by itself, because this long code
    // needs many registers, and would need them beside the values.
    if (!rows.plain) {
#pragma unroll 1
      for (int n = 0; n < SPLIT_KEYS * PARTS(ROWS * SPLITS, ITEMS) * rows.once; n++) {
        const int at = item + n / SPLIT_KEYS * ITEMS, r = at / SPLITS, k = KEY_OF_SPLIT(n % SPLIT_KEYS, at % SPLITS);
        if (r >= ROWS || k >= keys || row_queries[r] < 0) continue;
        int visible;
        weights[k][r] = modified_scores(m, row_heads[r], row_queries[r], j0 + k, sum_of_lanes(products[r][k]), &visible);
        products[r][k][0] = visible ? 1.0f : 0.0f;
      }
    }
#if COLUMNS == 1
    packed_t values[VALUES_AT_ONCE];
    load_values(values, value_rows[turn], 0, own_split, column_unit);
#endif

    // Softmax.
#pragma unroll 1
    for (int at = item; at < ROWS * SPLITS; at += ITEMS) {
      const int r = at / SPLITS, split = at % SPLITS;
      if (row_queries[r] < 0) continue;
      const float before = maximum[r][split];
      float after = before;
      ulong visible_keys = 0;  // of the split, a bit each
#pragma unroll 4
      for (int n = 0; n < SPLIT_KEYS * rows.once; n++) {
        const int k = KEY_OF_SPLIT(n, split), j = j0 + k;
        if (k >= keys || j < row_begins[r] || j >= row_ends[r]) continue;
        float score = weights[k][r];
        if (rows.plain) score = sum_of_lanes(products[r][k]) * scale;
        else if (products[r][k][0] == 0.0f) continue;
        weights[k][r] = score;
        after = score > after ? score : after;
        visible_keys |= 1UL << n;
      }
      const float shift = shift_of(after);
      float total = 0.0f;
      int hidden_key = 0;
#pragma unroll 4
      for (int n = 0; n < SPLIT_KEYS * rows.once; n++) {
        const int k = KEY_OF_SPLIT(n, split);
        // Scores of −∞ may be visible: their weight is 0, not that of a hidden key.
        const bool visible = (visible_keys >> n & 1) != 0;
        const float weight = visible ? exponential(weights[k][r] - shift) : k < keys ? -1.0f : 0.0f;
        total += visible ? weight : 0.0f;
        hidden_key |= !visible && k < keys;
        weights[k][r] = weight;
      }
      const float factor = factor_between(before, after);
      rescale[r][split] = factor;
      sum[r][split] = sum[r][split] * factor + total;
      maximum[r][split] = after;
      hidden[r][split] = hidden_key;
      if (visible_keys != 0) seen[r][split] = 1;
    }
    find_rows(&rows, j0 - piece.begin + TILE_KEYS, block_rows, row_step, key_rows, value_rows[turn ^ 1], ITEMS - 1 - item);
    barrier(CLK_LOCAL_MEM_FENCE);

    // Values.
    if (own_split < SPLITS) {
      int careful = COLUMNS > 1;
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        careful |= hidden[r][own_split];
        const float factor = rescale[r][own_split];
#pragma unroll UNROLLED_COLUMNS
        for (int c = 0; c < COLUMNS; c++)
#pragma unroll
          for (int n = 0; n < FOURS; n++) o[r][c][n] *= factor;
      }
      if (careful) {
#pragma unroll 1
        for (int k = own_split; k < keys; k += SPLITS) {
#pragma unroll UNROLLED_COLUMNS
          for (int c = 0; c < COLUMNS; c++) {
            const int u = column_unit + c * ITEMS;
            if (COLUMNS > 1 && u >= VALUE_UNITS) continue;
            const packed_t unit = load_unit(value_rows[turn][k], u, VALUE_WIDTH, VALUE_STORED);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
              const float weight = weights[k][r];
              if (weight < 0.0f) continue;
#pragma unroll
              for (int n = 0; n < FOURS; n++) o[r][c][n] += weight * four_of_packed(unit, n);
            }
          }
        }
      }
#if COLUMNS == 1
      else {
#pragma unroll 1
        for (int first = 0; first < SPLIT_KEYS * rows.once; first += VALUES_AT_ONCE) {
          if (first > 0) load_values(values, value_rows[turn], first, own_split, column_unit);
          // (Past the last key there is no value, not even one that is not finite.)
          if (KEY_OF_SPLIT(first + VALUES_AT_ONCE, 0) > keys) {
#pragma unroll
            for (int a = 0; a < VALUES_AT_ONCE; a++)
              if (KEY_OF_SPLIT(first + a, own_split) >= keys) values[a] = 0;
          }
#pragma unroll 1
          for (int a = 0; a < VALUES_AT_ONCE * rows.once; a++) {
            float weight[ROWS];
            load_floats(weight, weights[min(KEY_OF_SPLIT(first + a, own_split), SPLIT_KEYS * SPLITS - 1)], ROWS);
#pragma unroll
            for (int n = 0; n < FOURS; n++) {
              const float4 value = four_of_packed(values[0], n);
#pragma unroll
              for (int r = 0; r < ROWS; r++) o[r][0][n] += weight[r] * value;
            }
#pragma unroll
            for (int b = 1; b < VALUES_AT_ONCE; b++) values[b - 1] = values[b];
          }
        }
      }
#endif
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);

  // The splits of a row, in order, under the largest of their maxima.
  for (int r = item; r < ROWS; r += ITEMS) {
    const int i = row_queries[r], row = piece.first_row + r;
    const long at = piece.partial < 0 ? -1 : (long)piece.partial + row;
    targets[r] = at < 0 ? row_heads[r].output + i * output_stride : at * VALUE_WIDTH;
    float largest = -INFINITY, total = 0.0f, factor = 1.0f;
    int any = 0;
    for (int split = 0; split < SPLITS; split++) {
      largest = maximum[r][split] > largest ? maximum[r][split] : largest;
      any |= seen[r][split];
    }
    for (int split = 0; split < SPLITS; split++) {
      const float share = factor_between(maximum[r][split], largest);
      total += sum[r][split] * share;
      rescale[r][split] = share;
    }
    if (i >= 0) store_end(call, row_heads[r], i, at, largest, total, any, log_sum_exp, ends, &factor);
    for (int split = 0; split < SPLITS; split++) rescale[r][split] *= factor;
  }
  barrier(CLK_LOCAL_MEM_FENCE);

  const bool whole = piece.partial < 0;
#if SPLITS > 1
  __local float4(*const gathered)[FOURS][ITEMS] = (__local float4(*)[FOURS][ITEMS])scratch;
#pragma unroll
  for (int r0 = 0; r0 < ROWS; r0 += GATHERED_ROWS) {
#pragma unroll
    for (int g = 0; g < SMALLER(GATHERED_ROWS, ROWS - r0); g++)
#pragma unroll
      for (int n = 0; n < FOURS; n++)
        if (own_split < SPLITS) gathered[g][n][item] = o[r0 + g][0][n] * rescale[r0 + g][own_split];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int at = item; at < SMALLER(GATHERED_ROWS, ROWS - r0) * VALUE_UNITS * FOURS; at += ITEMS) {
      const int u = at % VALUE_UNITS, n = at / VALUE_UNITS % FOURS, g = at / (VALUE_UNITS * FOURS);
      if (row_queries[r0 + g] < 0) continue;
      float4 total = 0.0f;
      for (int split = 0; split < SPLITS; split++) total += gathered[g][n][u + split * VALUE_UNITS];
      store_columns(whole, targets[r0 + g], 4 * four_of_unit(u, n), total, output, partial);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
#else
  // Where the dimension is as wide as the group or wider, an item has units of columns to itself, and nobody waits.
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll UNROLLED_COLUMNS
    for (int c = 0; c < COLUMNS; c++) {
      const int u = item + c * ITEMS;
      if (u >= VALUE_UNITS || row_queries[r] < 0) continue;
#pragma unroll
      for (int n = 0; n < FOURS; n++)
        store_columns(whole, targets[r], 4 * four_of_unit(u, n), o[r][c][n] * rescale[r][0], output, partial);
    }
  }
#endif
}
