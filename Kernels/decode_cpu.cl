// Pieces of decode.cl on a CPU: a work-item, alone in its work-group, walks the keys of its piece, a tile at a time:
//
//   for each tile of keys that some row sees:
//     S = Q·Kᵀ                                        KEYS keys at a time, ROWS rows of queries in registers
//     S = modifiers(S), m', P = exp(S − m'), l'       row by row (online_softmax.cl)
//     O = O · exp(m − m') + P·V                       VALUE_KEYS keys at a time, ROWS rows × COLUMNS vectors in registers
//
// Memory must not rest while a tile is computed, nor the other way round. So each row is asked for one phase ahead, as its
// place in a constant stream: the tile's values while its keys are multiplied, the next tile's keys while its values are
// weighed.
//
//   memory     V of tile 0     K of tile 1     V of tile 1     K of tile 2     …
//   compute    Q·K of tile 0   P·V of tile 0   Q·K of tile 1   P·V of tile 1   …
//
// Rows are converted to float32 in registers; with UNPACK in memory, once for all rows of queries, which is better where
// these are many blocks of ROWS.

#ifndef ROWS
#define ROWS 2
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 32
#endif

#define VECTOR SCORE_WIDTH
// What 16 registers hold beside ROWS sums each, or 32 where vectors are of 16.
#define KEYS (ROWS < 4 || VECTOR == 16 ? 4 : 2)
#define COLUMNS ((VECTOR == 16 ? 16 : 8) / (ROWS == 3 ? 4 : ROWS))
#define VALUE_KEYS 8
#define CACHE_LINE 64
#define PADDED(length, multiple) (((length) + (multiple)-1) / (multiple) * (multiple))
#define KEY_FLOATS PADDED(KEY_WIDTH, VECTOR)
#define VALUE_FLOATS PADDED(VALUE_WIDTH, VECTOR)

typedef WIDE(float) vector_t;

#define INLINE static inline __attribute__((always_inline))

#define ALONE __attribute__((reqd_work_group_size(1, 1, 1))) __attribute__((vec_type_hint(vector_t)))

// MARK: Rows

// Rows as the products read them.
#if KEY_WIDTH % VECTOR || ROW_STORAGE >= 3 || (ROW_STORAGE != 0 && defined(UNPACK))
#define UNPACK_KEYS
typedef const float *key_row_t;
#define KEY_ELEMENTS(row, d) WIDE(vload)(0, (row) + (d))
#else
typedef __global const uchar *key_row_t;
#define KEY_ELEMENTS(row, d) row_elements(row, d)
#endif
#if VALUE_WIDTH % VECTOR || ROW_STORAGE >= 3 || (ROW_STORAGE != 0 && defined(UNPACK))
#define UNPACK_VALUES
typedef const float *value_row_t;
#define VALUE_ELEMENTS(row, d) WIDE(vload)(0, (row) + (d))
#else
typedef __global const uchar *value_row_t;
#define VALUE_ELEMENTS(row, d) row_elements(row, d)
#endif

#if ROW_STORAGE <= 2
// VECTOR elements of a row from element d on.
static vector_t row_elements(__global const uchar *row, int d) {
#if ROW_STORAGE == 0
  return WIDE(vload)(0, (__global const float *)row + d);
#elif ROW_STORAGE == 1
  return LOAD_WIDE_HALF((__global const half *)row + d);
#else
  return WIDE(as_float)(WIDE(convert_uint)(WIDE(vload)(0, (__global const ushort *)row + d)) << 16);
#endif
}

// The first `count` elements of a row, then zeros to a whole vector.
static void unpack_row(float *to, __global const uchar *row, const int count, const int stored) {
  int d = 0;
  for (; d + VECTOR <= count; d += VECTOR) WIDE(vstore)(row_elements(row, d), 0, to + d);
  for (; d < count; d++) to[d] = row_element(row, d, stored);
  for (; d % VECTOR != 0; d++) to[d] = 0.0f;
}
#else
// (PoCL converts several halves with one instruction, and a lone one step by step.)
static float scale_of(__global const half *scales, int block) {
  const ushort4 four = ((__global const ushort *)scales)[block];
  return vload_half4(0, (const half *)&four).x;
}

// The same; 32 elements have one scale, whose conversion would otherwise take as long as theirs.
static void unpack_row(float *to, __global const uchar *row, const int count, const int stored) {
  __global const half *scales = (__global const half *)(row + (ROW_STORAGE == 3 ? stored : stored / 2));
  for (int block = 0; block < count / 32; block++, to += 32) {
    const float scale = scale_of(scales, block);
#if ROW_STORAGE == 3
#pragma unroll
    for (int d = 0; d < 32; d += VECTOR)
      WIDE(vstore)(WIDE(convert_float)(WIDE(convert_int)(WIDE(vload)(0, (__global const char *)row + block * 32 + d))) *
                       scale, 0, to + d);
#else
#pragma unroll
    for (int d = 0; d < 16; d += VECTOR) {
      const WIDE(int) bytes = WIDE(convert_int)(WIDE(vload)(0, row + block * 16 + d));
      WIDE(vstore)(WIDE(convert_float)((bytes & 15) - 8) * scale, 0, to + d);
      WIDE(vstore)(WIDE(convert_float)((bytes >> 4) - 8) * scale, 0, to + 16 + d);
    }
#endif
  }
  for (int d = count / 32 * 32; d < (count + VECTOR - 1) / VECTOR * VECTOR; d++, to++)
    *to = d < count ? row_element(row, d, stored) : 0.0f;
}
#endif

// MARK: Prefetching

// PoCL's prefetch does nothing, but its compiler is clang.
#if defined(POCL_DEVICE_ADDRESS_BITS) && defined(__has_builtin)
#if __has_builtin(__builtin_prefetch)
#define FETCH_LINE(at) __builtin_prefetch((const void *)(uintptr_t)(at), 0, 3)
#endif
#endif
#ifndef FETCH_LINE
#define FETCH_LINE(at) prefetch(at, CACHE_LINE)
#endif

// MARK: Products

static float4 sums_of_four(vector_t a, vector_t b, vector_t c, vector_t d) {
#if VECTOR == 16
  const float4 w = a.lo.lo + a.lo.hi + (a.hi.lo + a.hi.hi), x = b.lo.lo + b.lo.hi + (b.hi.lo + b.hi.hi);
  const float4 y = c.lo.lo + c.lo.hi + (c.hi.lo + c.hi.hi), z = d.lo.lo + d.lo.hi + (d.hi.lo + d.hi.hi);
#elif VECTOR == 8
  const float4 w = a.lo + a.hi, x = b.lo + b.hi, y = c.lo + c.hi, z = d.lo + d.hi;
#else
  const float4 w = a, x = b, y = c, z = d;
#endif
  const float4 left = (float4)(w.xy, x.xy) + (float4)(w.zw, x.zw);
  const float4 right = (float4)(y.xy, z.xy) + (float4)(y.zw, z.zw);
  return (float4)(left.xz, right.xz) + (float4)(left.yw, right.yw);
}

// scores[r][0 … KEYS − 1] = query[r] · key[0 … KEYS − 1]
INLINE void score_keys(__local float *scores, __local const float *query, const key_row_t *key) {
  vector_t c[ROWS][KEYS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int e = 0; e < KEYS; e++) c[r][e] = 0.0f;
// (Of wide rows fewer: they take seconds to compile otherwise.)
#if KEY_FLOATS <= 256
#pragma unroll 16
#else
#pragma unroll 4
#endif
  for (int d = 0; d < KEY_FLOATS; d += VECTOR) {
    vector_t k[KEYS];
#pragma unroll
    for (int e = 0; e < KEYS; e++) k[e] = KEY_ELEMENTS(key[e], d);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const vector_t q = *(__local const vector_t *)(query + r * KEY_FLOATS + d);
#pragma unroll
      for (int e = 0; e < KEYS; e++) c[r][e] = fma(q, k[e], c[r][e]);
    }
  }
#if KEYS == 4
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    vstore4(sums_of_four(c[r][0], c[r][1], c[r][2], c[r][3]), 0, scores + r * TILE_KEYS);
#else
#pragma unroll
  for (int r = 0; r < ROWS; r += 2) {
    const float4 sums = sums_of_four(c[r][0], c[r][1], c[r + 1][0], c[r + 1][1]);
    vstore2(sums.lo, 0, scores + r * TILE_KEYS);
    vstore2(sums.hi, 0, scores + (r + 1) * TILE_KEYS);
  }
#endif
}

// output[r][…] += Σ_j weights[r][j] · value[j][…] over `keys` keys, for the `columns` vectors from element d on. Meanwhile
// the `rows` rows at `ahead` are asked for, a line with each key, for memory likes them in order.
//
// (PoCL unrolls loops before it knows `columns`, and what is indexed by a variable then is not in registers.)
#define FOR_COLUMNS(n) _Pragma("unroll") for (int n = 0; n < COLUMNS; n++) if (n < columns)
INLINE void weigh(__local float *output, __local const float *weights, const value_row_t *value, const int keys, int d,
                  const int columns, __global const uchar *const *ahead, const int rows) {
  vector_t o[ROWS][COLUMNS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    FOR_COLUMNS(n) o[r][n] = *(__local const vector_t *)(output + r * VALUE_FLOATS + d + n * VECTOR);
#pragma unroll
  for (int j = 0; j < keys; j++) {
#pragma unroll
    for (int a = 0; a < rows; a++)
#pragma unroll
      for (int byte = j * CACHE_LINE; byte < ROW_BYTES(KEY_WIDTH); byte += keys * CACHE_LINE)
        FETCH_LINE(ahead[a] + byte);
    vector_t v[COLUMNS];
    FOR_COLUMNS(n) v[n] = VALUE_ELEMENTS(value[j], d + n * VECTOR);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const vector_t p = weights[r * TILE_KEYS + j];
      FOR_COLUMNS(n) o[r][n] = fma(p, v[n], o[r][n]);
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    FOR_COLUMNS(n) *(__local vector_t *)(output + r * VALUE_FLOATS + d + n * VECTOR) = o[r][n];
}

// All columns, and VALUE_KEYS rows asked for: so many with each of the first steps that they suffice for all.
INLINE void weigh_columns(__local float *output, __local const float *weights, const value_row_t *value, const int keys,
                          __global const uchar *const *ahead) {
  enum {
    STEP = COLUMNS * VECTOR,
    STEPS = VALUE_FLOATS / STEP,
    AHEAD = (VALUE_KEYS + STEPS - 1) / (STEPS < 1 ? 1 : STEPS),
    ASKING = (VALUE_KEYS + AHEAD - 1) / AHEAD
  };
  int d = 0;
  for (; d + STEP <= VALUE_FLOATS && d < ASKING * STEP; d += STEP, ahead += AHEAD)
    weigh(output, weights, value, keys, d, COLUMNS, ahead, AHEAD);
  for (; d + STEP <= VALUE_FLOATS; d += STEP) weigh(output, weights, value, keys, d, COLUMNS, ahead, 0);
  for (; d < VALUE_FLOATS; d += VECTOR) weigh(output, weights, value, keys, d, 1, ahead, 0);
}

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

// One step of the online softmax of one row: products become weights, and the output so far is rescaled.
static void soften(Rows t, const Modifiers m, const Head head, int r, int i, int j0, int keys, bool plain) {
  __local vector_t *s = (__local vector_t *)(t.weight + r * TILE_KEYS);
  const int vectors = (keys + VECTOR - 1) / VECTOR;
  for (int j = keys; j < vectors * VECTOR; j++) t.weight[r * TILE_KEYS + j] = plain ? -INFINITY : 0.0f;
  vector_t largest = -INFINITY;
  WIDE(int) seen = 0;
  for (int v = 0; v < vectors; v++) {
    if (plain) {
      // (A hidden key's −∞ keeps its sign whatever the scale is.)
      s[v] = v * VECTOR + VECTOR <= keys ? s[v] * m.scale : select(s[v] * m.scale, (vector_t)-INFINITY, v * VECTOR + LANES >= (WIDE(int))keys);
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

// The values of a tile some of which are not finite, where 0 · V is not 0 and visibility decides. Rare, so small rather
// than fast.
static void weigh_visible(Rows t, const Modifiers m, const Head head, int r, int i, int j0, int keys,
                          __global const uchar *const *rows) {
  for (int k = 0; k < keys; k++) {
    if (!is_visible(m, head, i, j0 + k)) continue;
    for (int n = 0; n < VALUE_WIDTH; n++)
      t.output[r * VALUE_FLOATS + n] += t.weight[r * TILE_KEYS + k] * row_element(rows[k], n, VALUE_STORED);
  }
}

// Where the keys and values of a tile are; after the last, the last again, so that whole groups of keys can be read and
// asked for.
typedef struct {
  __global const uchar *key[TILE_KEYS + VALUE_KEYS];
  __global const uchar *value[TILE_KEYS];
} Tile;

// The next `keys` keys of a walk, at least one.
static void locate(Tile *tile, Walk *walk, int keys, const Head head, __global const uchar *const *key_sources,
                   __global const uchar *const *value_sources) {
  for (int k = 0; k < keys;) {
    const int end = min((long)keys, k + (long)places_left(walk));
    const long row = next_row(walk);
    walk->place += end - k - 1;
    __global const uchar *key = key_sources[source_of(row)] + (head.key + place_of(row)) * ROW_BYTES(KEY_WIDTH);
    __global const uchar *value = value_sources[source_of(row)] + (head.value + place_of(row)) * ROW_BYTES(VALUE_STORED);
    for (; k < end; k++) {
      tile->key[k] = key;
      tile->value[k] = value;
      key += (long)walk->row_step * ROW_BYTES(KEY_WIDTH);
      value += (long)walk->row_step * ROW_BYTES(VALUE_STORED);
    }
  }
  for (int k = keys; k < TILE_KEYS + VALUE_KEYS; k++) tile->key[k] = tile->key[keys - 1];
  for (int k = keys; k < TILE_KEYS; k++) tile->value[k] = tile->value[keys - 1];
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

  Rows t;
  t.query = (__local float *)scratch;
  t.output = t.query + most_rows * KEY_FLOATS;
  t.weight = t.output + most_rows * VALUE_FLOATS;
  t.maximum = t.weight + most_rows * TILE_KEYS;
  t.sum = t.maximum + most_rows;
  t.seen = (__local int *)(t.sum + most_rows);
  t.visibility = t.seen + most_rows;

  const int blocks = (piece.rows + ROWS - 1) / ROWS;
  bool unmodified = softcap == 0.0f;
  for (int r = 0; r < blocks * ROWS; r++) {
    __local float *q = t.query + r * KEY_FLOATS;
    const Head head = heads[head_of_row(call, piece, piece.first_row + min(r, piece.rows - 1))];
    const int i = first_query + (piece.first_row + r) % queries;
    const bool present = r < piece.rows && i < head.query_length;
    for (int d = 0; d < KEY_FLOATS; d++)
      q[d] = present && d < KEY_WIDTH
                 ? query_element(query + head.query + i * query_stride, d, call,
                                 rotary + ((long)head.rotary + i) * 2 * rotary_pairs)
                 : 0.0f;
    for (int d = 0; d < VALUE_FLOATS; d++) t.output[r * VALUE_FLOATS + d] = 0.0f;
    for (int k = 0; k < TILE_KEYS; k++) t.weight[r * TILE_KEYS + k] = 0.0f;
    t.maximum[r] = -INFINITY;
    t.sum[r] = 0.0f;
    t.seen[r] = 0;
    if (head.slope != 0.0f) unmodified = false;
  }
  const Head first = heads[piece.head];
  Walk walk = {(__global const long *)(work + table_at) + piece.table, block_rows, row_step, piece.place};

  Tile tiles[2];
  if (piece.begin < piece.end)
    locate(tiles, &walk, min(TILE_KEYS, piece.end - piece.begin), first, key_sources, value_sources);
  for (int j0 = piece.begin, at = 0; j0 < piece.end; j0 += TILE_KEYS, at = 1 - at) {
    const int keys = min(TILE_KEYS, piece.end - j0), next_keys = min(TILE_KEYS, piece.end - j0 - keys);
    const Tile *const tile = tiles + at, *next = tile;
    if (next_keys > 0) {
      locate(tiles + 1 - at, &walk, next_keys, first, key_sources, value_sources);
      next = tiles + 1 - at;
    }
    bool hidden = true, open = true;
    for (int r = 0; r < piece.rows; r++) {
      const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
      const int i = first_query + (piece.first_row + r) % queries;
      const int visibility = i >= head.query_length
                                 ? TILE_HIDDEN
                                 : tile_visibility(m, head, i, 1, j0, keys, mask_kind == MASK_NONE ? TILE_OPEN : TILE_MIXED);
      t.visibility[r] = visibility;
      hidden = hidden && visibility == TILE_HIDDEN;
      open = open && visibility == TILE_OPEN;
    }
    if (hidden) continue;

    for (int k = 0; k < keys; k += KEYS) {
#pragma unroll
      for (int e = 0; e < KEYS; e++)
#pragma unroll
        for (int byte = 0; byte < ROW_BYTES(VALUE_WIDTH); byte += CACHE_LINE) FETCH_LINE(tile->value[k + e] + byte);
#ifdef UNPACK_KEYS
      key_row_t rows[KEYS];
      float unpacked[KEYS][KEY_FLOATS];
      for (int e = 0; e < KEYS; e++) {
        unpack_row(unpacked[e], tile->key[k + e], KEY_WIDTH, KEY_WIDTH);
        rows[e] = unpacked[e];
      }
#else
      const key_row_t *rows = tile->key + k;
#endif
      for (int b = 0; b < blocks; b++)
        score_keys(t.weight + b * ROWS * TILE_KEYS + k, t.query + b * ROWS * KEY_FLOATS, rows);
    }

    for (int r = 0; r < piece.rows; r++) {
      if (t.visibility[r] == TILE_HIDDEN) {
        for (int k = 0; k < TILE_KEYS; k++) t.weight[r * TILE_KEYS + k] = 0.0f;
        continue;
      }
      const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
      const int i = first_query + (piece.first_row + r) % queries;
      soften(t, m, head, r, i, j0, keys, unmodified && t.visibility[r] == TILE_OPEN);
    }

    if (open || all_finite(tile->value, keys)) {
      for (int k = 0; k < keys; k += VALUE_KEYS) {
        const int count = min(VALUE_KEYS, keys - k);
#ifdef UNPACK_VALUES
        value_row_t rows[VALUE_KEYS];
        float unpacked[VALUE_KEYS][VALUE_FLOATS];
        for (int e = 0; e < count; e++) {
          unpack_row(unpacked[e], tile->value[k + e], VALUE_WIDTH, VALUE_STORED);
          rows[e] = unpacked[e];
        }
#else
        const value_row_t *rows = tile->value + k;
#endif
        for (int b = 0; b < blocks; b++) {
          __local float *to = t.output + b * ROWS * VALUE_FLOATS;
          __local const float *weights = t.weight + b * ROWS * TILE_KEYS + k;
          if (count == VALUE_KEYS) {
            weigh_columns(to, weights, rows, VALUE_KEYS, next->key + k);
          } else {
            for (int e = 0; e < count; e++) weigh_columns(to, weights + e, rows + e, 1, next->key + k);
          }
        }
      }
    } else {
      for (int r = 0; r < piece.rows; r++) {
        const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
        const int i = first_query + (piece.first_row + r) % queries;
        if (t.visibility[r] != TILE_HIDDEN) weigh_visible(t, m, head, r, i, j0, keys, tile->value);
      }
    }
  }

  for (int r = 0; r < piece.rows; r++) {
    const int row = piece.first_row + r;
    const Head head = heads[head_of_row(call, piece, row)];
    const int i = first_query + row % queries;
    if (i >= head.query_length) continue;
    const long at = piece.partial < 0 ? -1 : (long)piece.partial + row;
    float factor;
    store_end(call, head, i, at, t.maximum[r], t.sum[r], t.seen[r], log_sum_exp, ends, &factor);
    if (at < 0) {
      for (int n = 0; n < VALUE_WIDTH; n++)
        store_element(output, head.output + i * output_stride + n, t.output[r * VALUE_FLOATS + n] * factor);
    } else {
      for (int n = 0; n < VALUE_WIDTH; n++) partial[at * VALUE_WIDTH + n] = t.output[r * VALUE_FLOATS + n];
    }
  }
}
