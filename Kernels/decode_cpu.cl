// Pieces of decode.cl on a CPU: a work-item, alone in its work-group, walks the keys of its piece, a tile at a time:
//
//   for each tile of keys that some row sees:
//     S = Q·Kᵀ                                        KEYS keys at a time, ROWS rows of queries in registers
//     S = modifiers(S), m', P = exp(S − m'), l'       row by row (online_softmax.cl)
//     O = O · exp(m − m') + P·V                       VALUE_KEYS keys at a time, ROWS rows × COLUMNS vectors in registers
//
// Memory must not rest while a tile is computed, nor the other way round. So what comes next is asked for, in the order in
// which it lies, for the second-level cache first and then for the first: rows of a tile's keys, of its values, of the next
// tile's keys.
//
//   asked for  K of tile 0, its last rows   V of tile 0                      K of tile 1
//   compute    Q·K of tile 0                Q·K of tile 0   P·V of tile 0    P·V of tile 0
//
// Rows and products are those of decode_cpu_products.cl.

// MARK: The piece

// What a work-item keeps in local memory, for rows rounded up to whole blocks of ROWS.
typedef struct {
  __local float *query;   // [rows][KEY_FLOATS]
  __local float *output;  // [rows][VALUE_FLOATS]
  __local float *weight;  // [rows][TILE_KEYS]: the tile's scores, then its weights
  __local float *maximum, *sum;
  __local int *seen;
  __local int *visibility;  // of the tile
} Rows;

static Rows rows_in(__local vector_t *scratch, int most_rows) {
  Rows t;
  t.query = (__local float *)scratch;
  t.output = t.query + most_rows * KEY_FLOATS;
  t.weight = t.output + most_rows * VALUE_FLOATS;
  t.maximum = t.weight + most_rows * TILE_KEYS;
  t.sum = t.maximum + most_rows;
  t.seen = (__local int *)(t.sum + most_rows);
  t.visibility = t.seen + most_rows;
  return t;
}

static int blocks_of(const Piece piece) { return (piece.rows + ROWS - 1) / ROWS; }

// The query of a piece's row.
static int query_of_row(const Call call, const Piece piece, int r) {
  return call.first_query + (piece.first_row + r) % call.queries;
}

// Fetches the rows' queries, before their first key. Rows past the last are 0.
static void begin_rows(Rows t, const Call call, const Piece piece, __global const Head *heads,
                       __global const storage_t *query, __global const float *rotary) {
  for (int r = 0; r < blocks_of(piece) * ROWS; r++) {
    __local float *q = t.query + r * KEY_FLOATS;
    const Head head = heads[head_of_row(call, piece, piece.first_row + min(r, piece.rows - 1))];
    const int i = query_of_row(call, piece, r);
    const bool present = r < piece.rows && i < head.query_length;
    for (int d = 0; d < KEY_FLOATS; d += 4) {
      float4 four = 0.0f;
      if (present && d < KEY_WIDTH)
        four = query_four(query + head.query + i * call.query_stride, d, KEY_WIDTH, call,
                          rotary + ((long)head.rotary + i) * 2 * call.rotary_pairs);
      vstore4(four, 0, q + d);
    }
    for (int d = 0; d < VALUE_FLOATS; d++) t.output[r * VALUE_FLOATS + d] = 0.0f;
    for (int k = 0; k < TILE_KEYS; k++) t.weight[r * TILE_KEYS + k] = 0.0f;
    t.maximum[r] = -INFINITY;
    t.sum[r] = 0.0f;
    t.seen[r] = 0;
  }
}

// Whether the scores of all rows are products · scale.
static bool only_scales_rows(const Modifiers m, const Call call, const Piece piece, __global const Head *heads) {
  bool only = true;
  for (int r = 0; r < piece.rows; r++)
    only = only && only_scales(m.softcap, heads[head_of_row(call, piece, piece.first_row + r)].slope);
  return only;
}

// The visibility of a tile to each row; returns that to all of them.
static int look_at_tile(Rows t, const Modifiers m, const Call call, const Piece piece, __global const Head *heads, int j0,
                        int keys) {
  bool hidden = true, open = true;
  for (int r = 0; r < piece.rows; r++) {
    const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
    const int i = query_of_row(call, piece, r);
    const int visibility = i >= head.query_length
                               ? TILE_HIDDEN
                               : tile_visibility(m, head, i, 1, j0, keys, m.mask_kind == MASK_NONE ? TILE_OPEN : TILE_MIXED);
    t.visibility[r] = visibility;
    hidden = hidden && visibility == TILE_HIDDEN;
    open = open && visibility == TILE_OPEN;
  }
  return hidden ? TILE_HIDDEN : open ? TILE_OPEN : TILE_MIXED;
}

// S = Q·Kᵀ
static void score_rows(Rows t, const Piece piece, __global const uchar *const *key, int keys) {
  for (int k = 0; k < keys; k += KEYS) {
#ifdef UNPACK_KEYS
    key_row_t rows[KEYS];
    float unpacked[KEYS][KEY_FLOATS];
    for (int e = 0; e < KEYS; e++) {
      ask_lines(key + k + e, ROW_BYTES(KEY_WIDTH), 0, LINES(ROW_BYTES(KEY_WIDTH)));
      unpack_row(unpacked[e], key[k + e], KEY_WIDTH, KEY_WIDTH);
      rows[e] = unpacked[e];
    }
    score_keys(t.weight + k, t.query, rows, 0);
#else
    const key_row_t *rows = key + k;
    score_keys(t.weight + k, t.query, rows, rows);
#endif
    for (int b = 1; b < blocks_of(piece); b++)
      score_keys(t.weight + b * ROWS * TILE_KEYS + k, t.query + b * ROWS * KEY_FLOATS, rows, 0);
  }
}

// One step of the online softmax of one row: products become weights, and the output so far is rescaled.
static void soften_row(Rows t, const Modifiers m, const Head head, int r, int i, int j0, int keys, bool plain) {
  __local vector_t *s = (__local vector_t *)(t.weight + r * TILE_KEYS);
  const int vectors = (keys + VECTOR - 1) / VECTOR;
  for (int j = keys; j < vectors * VECTOR; j++) t.weight[r * TILE_KEYS + j] = plain ? -INFINITY : 0.0f;
  vector_t largest = -INFINITY;
  WIDE(int) seen = 0;
  for (int v = 0; v < vectors; v++) {
    if (plain) {
      // (A hidden key's −∞ keeps its sign whatever the scale is.)
      s[v] *= m.scale;
      if (v * VECTOR + VECTOR > keys) s[v] = select(s[v], (vector_t)-INFINITY, v * VECTOR + LANES >= (WIDE(int))keys);
    } else {
      WIDE(int) visible;
      s[v] = modified_scores(m, head, i, j0 + v * VECTOR, s[v], &visible);
      const WIDE(int) inside = v * VECTOR + LANES < (WIDE(int))keys;
      s[v] = select((vector_t)-INFINITY, s[v], inside);
      seen |= visible & inside;
    }
    largest = LARGER(s[v], largest);
  }
  if (plain || any(seen)) t.seen[r] = 1;
  const float before = t.maximum[r], found = REDUCE(largest, LARGER);
  const float after = LARGER(found, before);
  const float shift = shift_of(after);
  vector_t sum = 0.0f;
  for (int v = 0; v < vectors; v++) {
    s[v] = exponential(s[v] - shift);
    sum += s[v];
  }
  t.maximum[r] = after;
  const float total = REDUCE(sum, SUM);
  if (before == after) {
    t.sum[r] += total;
    return;
  }
  const float factor = rescaling(before, after);
  t.sum[r] = t.sum[r] * factor + total;
  __local vector_t *output = (__local vector_t *)(t.output + r * VALUE_FLOATS);
  for (int d = 0; d < VALUE_FLOATS / VECTOR; d++) output[d] *= factor;
}

// P and l of a tile.
static void soften_rows(Rows t, const Modifiers m, const Call call, const Piece piece, __global const Head *heads, int j0,
                        int keys, bool only_scaled) {
  for (int r = 0; r < piece.rows; r++) {
    if (t.visibility[r] == TILE_HIDDEN) {
      for (int k = 0; k < TILE_KEYS; k++) t.weight[r * TILE_KEYS + k] = 0.0f;
      continue;
    }
    const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
    soften_row(t, m, head, r, query_of_row(call, piece, r), j0, keys, only_scaled && t.visibility[r] == TILE_OPEN);
  }
}

// O += P·V
static void weigh_rows(Rows t, const Piece piece, __global const uchar *const *value, int keys) {
  const int blocks = blocks_of(piece);
  for (int k = 0; k < keys; k += VALUE_KEYS) {
    const int count = min(VALUE_KEYS, keys - k);
#ifdef UNPACK_VALUES
    __global const uchar *const *const asking = 0;
    value_row_t rows[VALUE_KEYS];
    float unpacked[VALUE_KEYS][VALUE_FLOATS];
    for (int e = 0; e < count; e++) {
      ask_lines(value + k + e, ROW_BYTES(VALUE_WIDTH), 0, LINES(ROW_BYTES(VALUE_WIDTH)));
      unpack_row(unpacked[e], value[k + e], VALUE_WIDTH, VALUE_STORED);
      rows[e] = unpacked[e];
    }
#else
    const value_row_t *rows = value + k, *asking = rows;
#endif
    if (count == VALUE_KEYS) {
      weigh_columns(t.output, t.weight + k, rows, VALUE_KEYS, asking);
      for (int b = 1; b < blocks; b++)
        weigh_columns(t.output + b * ROWS * VALUE_FLOATS, t.weight + b * ROWS * TILE_KEYS + k, rows, VALUE_KEYS, 0);
    } else {
      for (int b = 0; b < blocks; b++)
        for (int e = 0; e < count; e++)
          weigh_columns(t.output + b * ROWS * VALUE_FLOATS, t.weight + b * ROWS * TILE_KEYS + k + e, rows + e, 1, 0);
    }
  }
}

// Whether all values of a tile are finite.
static bool all_finite(__global const uchar *const *rows, int keys) {
  WIDE(int) finite = -1;
  for (int k = 0; k < keys; k++) {
    float row[VALUE_FLOATS];
    unpack_row(row, rows[k], VALUE_WIDTH, VALUE_STORED);
    for (int d = 0; d < VALUE_FLOATS; d += VECTOR) finite &= isfinite(WIDE(vload)(0, row + d));
  }
  return all(finite);
}

// The same of a tile some of whose values are not finite, where 0 · V is not 0 and visibility decides. Rare, so small rather
// than fast.
static void weigh_visible(Rows t, const Modifiers m, const Call call, const Piece piece, __global const Head *heads, int j0,
                          int keys, __global const uchar *const *value) {
  for (int r = 0; r < piece.rows; r++) {
    if (t.visibility[r] == TILE_HIDDEN) continue;
    const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
    for (int k = 0; k < keys; k++) {
      if (!is_visible(m, head, query_of_row(call, piece, r), j0 + k)) continue;
      for (int n = 0; n < VALUE_WIDTH; n++)
        t.output[r * VALUE_FLOATS + n] += t.weight[r * TILE_KEYS + k] * row_element(value[k], n, VALUE_STORED);
    }
  }
}

// Puts the rows' results to their places, or where they are merged.
static void end_rows(Rows t, const Call call, const Piece piece, __global const Head *heads, __global storage_t *output,
                     __global float *log_sum_exp, __global float *partial, __global float *ends) {
  for (int r = 0; r < piece.rows; r++) {
    const int row = piece.first_row + r;
    const Head head = heads[head_of_row(call, piece, row)];
    const int i = query_of_row(call, piece, r);
    if (i >= head.query_length) continue;
    const long at = piece.partial < 0 ? -1 : (long)piece.partial + row;
    float factor;
    store_end(call, head, i, at, t.maximum[r], t.sum[r], t.seen[r], log_sum_exp, ends, &factor);
    if (at < 0) {
      for (int n = 0; n < VALUE_WIDTH; n += 4)
        store_four(output, head.output + i * call.output_stride + n, vload4(0, t.output + r * VALUE_FLOATS + n) * factor,
                   VALUE_WIDTH - n);
    } else {
      for (int n = 0; n < VALUE_WIDTH; n++) partial[at * VALUE_WIDTH + n] = t.output[r * VALUE_FLOATS + n];
    }
  }
}

// Where the rows of a tile are: its keys, then its values; after the last, the last again, so that whole groups of keys can be
// read and asked for.
#define TILE_POINTERS (2 * TILE_KEYS)

// The next `keys` keys of a walk, at least one.
static void locate(__global const uchar **tile, Walk *walk, int keys, const Head head, __global const uchar *const *key_sources,
                   __global const uchar *const *value_sources) {
  for (int k = 0; k < keys;) {
    const int end = min((long)keys, k + (long)places_left(walk));
    const long row = next_row(walk);
    walk->place += end - k - 1;
    __global const uchar *key = key_sources[source_of(row)] + (head.key + place_of(row)) * ROW_BYTES(KEY_WIDTH);
    __global const uchar *value = value_sources[source_of(row)] + (head.value + place_of(row)) * ROW_BYTES(VALUE_STORED);
    for (; k < end; k++) {
      tile[k] = key;
      tile[TILE_KEYS + k] = value;
      key += (long)walk->row_step * ROW_BYTES(KEY_WIDTH);
      value += (long)walk->row_step * ROW_BYTES(VALUE_STORED);
    }
  }
  for (int k = keys; k < TILE_KEYS; k++) {
    tile[k] = tile[keys - 1];
    tile[TILE_KEYS + k] = tile[TILE_KEYS + keys - 1];
  }
}

__kernel ALONE void decode_cpu(
    __global const uchar *work, __global const storage_t *query, SOURCE_ARGUMENTS(key), SOURCE_ARGUMENTS(value),
    __global const float *rotary, __global const uchar *mask, __global const uchar *block_mask,
    __global storage_t *output, __global float *log_sum_exp, __global float *partial, __global float *ends,
    __local vector_t *scratch, int most_rows, int pieces_at, int table_at,
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
  __global const uchar *const key_sources[SOURCES] = SOURCE_LIST(key);
  __global const uchar *const value_sources[SOURCES] = SOURCE_LIST(value);

  const Rows t = rows_in(scratch, most_rows);
  begin_rows(t, call, piece, heads, query, rotary);
  const bool only_scaled = only_scales_rows(m, call, piece, heads);
  const Head first = heads[piece.head];
  Walk walk = {(__global const long *)(work + table_at) + piece.table, block_rows, row_step, piece.place};

  __global const uchar *tiles[2 * TILE_POINTERS];  // that at hand and the next: rows in the order in which they are read
  __global const uchar *const *const key = tiles, *const *const value = tiles + TILE_KEYS;
  if (piece.begin < piece.end)
    locate(tiles + TILE_POINTERS, &walk, min(TILE_KEYS, piece.end - piece.begin), first, key_sources, value_sources);
  for (int j0 = piece.begin; j0 < piece.end; j0 += TILE_KEYS) {
    const int keys = min(TILE_KEYS, piece.end - j0), next_keys = min(TILE_KEYS, piece.end - j0 - keys);
    for (int k = 0; k < TILE_POINTERS; k++) tiles[k] = tiles[TILE_POINTERS + k];
    if (next_keys > 0) locate(tiles + TILE_POINTERS, &walk, next_keys, first, key_sources, value_sources);

    const int visibility = look_at_tile(t, m, call, piece, heads, j0, keys);
    if (visibility == TILE_HIDDEN) continue;
    score_rows(t, piece, key, keys);
    soften_rows(t, m, call, piece, heads, j0, keys, only_scaled);
    if (visibility == TILE_OPEN || all_finite(value, keys)) weigh_rows(t, piece, value, keys);
    else weigh_visible(t, m, call, piece, heads, j0, keys, value);
  }
  end_rows(t, call, piece, heads, output, log_sum_exp, partial, ends);
}
