// Pieces of decode.cl on a CPU: a work-item, alone in its work-group, walks the keys of its piece, a tile at a time:
//
//   for each tile of keys that some row sees:
//     S = Q·Kᵀ                                        KEYS keys at a time, ROWS rows of queries in registers
//     S = modifiers(S), m', P = exp(S − m'), l'       row by row (online_softmax.cl)
//     O = O · exp(m − m') + P·V                       VALUE_KEYS keys at a time, ROWS rows × COLUMNS vectors in registers
//
// Memory must not rest while a tile is computed, nor the other way round. So what comes next is asked for, in the order in which it
// lies, for the second-level cache first and then for the first: rows of a tile's keys, of its values, of the next tile's keys.
//
//   asked for  K of tile 0, its last rows   V of tile 0                      K of tile 1
//   compute    Q·K of tile 0                Q·K of tile 0   P·V of tile 0    P·V of tile 0
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
#if KEY_WIDTH % VECTOR || (ROW_STORAGE != 0 && defined(UNPACK))
#define UNPACK_KEYS
typedef const float *key_row_t;
#define KEY_ELEMENTS(row, d) WIDE(vload)(0, (row) + (d))
#else
typedef __global const uchar *key_row_t;
#define KEY_ELEMENTS(row, d) row_elements(row, d, KEY_WIDTH)
#endif
#if VALUE_WIDTH % VECTOR || (ROW_STORAGE != 0 && defined(UNPACK))
#define UNPACK_VALUES
typedef const float *value_row_t;
#define VALUE_ELEMENTS(row, d) WIDE(vload)(0, (row) + (d))
#else
typedef __global const uchar *value_row_t;
#define VALUE_ELEMENTS(row, d) row_elements(row, d, VALUE_STORED)
#endif

#if ROW_STORAGE >= 3
// The scale of the block of 32 elements from d on.
INLINE vector_t scale_at(__global const uchar *row, int d, const int stored) {
  const ushort bits = ((__global const ushort *)(row + (ROW_STORAGE == 3 ? stored : stored / 2)))[d / 32];
#ifdef FLOATS_OF_HALVES
  return FLOATS_OF_HALVES((ushort16)bits);
#else
  // (PoCL converts several halves with one instruction, and a lone one step by step.)
  const ushort4 four = bits;
  return vload_half4(0, (const half *)&four).x;
#endif
}
#endif

// VECTOR elements of a row of `stored` elements, from d on.
INLINE vector_t row_elements(__global const uchar *row, int d, const int stored) {
  (void)stored;
#if ROW_STORAGE == 0
  return LOAD_WIDE(float, (__global const float *)row + d);
#elif ROW_STORAGE == 1
  return LOAD_WIDE_HALF((__global const half *)row + d);
#elif ROW_STORAGE == 2
  return WIDE(as_float)(WIDE(convert_uint)(LOAD_WIDE(ushort, (__global const ushort *)row + d)) << 16);
#elif ROW_STORAGE == 3
  return WIDE(convert_float)(WIDE(convert_int)(LOAD_WIDE(char, row + d))) * scale_at(row, d, stored);
#else
  const WIDE(int) bytes = WIDE(convert_int)(LOAD_WIDE(uchar, row + d / 32 * 16 + d % 16));
  return WIDE(convert_float)((d % 32 < 16 ? bytes & 15 : bytes >> 4) - 8) * scale_at(row, d, stored);
#endif
}

// The first `count` elements of a row, then zeros to a whole vector.
static void unpack_row(float *to, __global const uchar *row, const int count, const int stored) {
  int d = 0;
  for (; d + VECTOR <= count; d += VECTOR) WIDE(vstore)(row_elements(row, d, stored), 0, to + d);
  for (; d < count; d++) to[d] = row_element(row, d, stored);
  for (; d % VECTOR != 0; d++) to[d] = 0.0f;
}

// MARK: Prefetching

// PoCL's prefetch does nothing, but its compiler is clang.
#if defined(POCL_DEVICE_ADDRESS_BITS) && defined(__has_builtin)
#if __has_builtin(__builtin_prefetch)
#define FETCH_FAR(at) __builtin_prefetch((const void *)(uintptr_t)(at), 0, 2)
#define FETCH_NEAR(at) __builtin_prefetch((const void *)(uintptr_t)(at), 0, 3)
#endif
#endif
#ifndef FETCH_FAR
#define FETCH_FAR(at) prefetch(at, CACHE_LINE)
#define FETCH_NEAR(at)
#endif

// Lines of a row of `bytes` bytes, and rows from those at hand to those that are asked for.
#define LINES(bytes) (((bytes) + CACHE_LINE - 1) / CACHE_LINE)
#define ROWS_IN(room, bytes) ((room) < (bytes) ? 1 : (room) / (bytes) < TILE_KEYS ? (room) / (bytes) : TILE_KEYS)
#define ROWS_FAR(bytes) ROWS_IN(8192, bytes)
#define ROWS_NEAR(bytes) ROWS_IN(4096, bytes)

// Asks for the lines `begin` … `end` − 1 of what is as far ahead of the rows at hand; of none nothing.
INLINE void ask_lines(__global const uchar *const *at_hand, const int bytes, const int begin, const int end) {
  if (!at_hand) return;
#pragma unroll
  for (int line = begin; line < end; line++) {
    const int row = line / LINES(bytes), byte = line % LINES(bytes) * CACHE_LINE;
    FETCH_FAR(at_hand[ROWS_FAR(bytes) + row] + byte);
    FETCH_NEAR(at_hand[ROWS_NEAR(bytes) + row] + byte);
  }
}

// MARK: Products

#if VECTOR == 16
// The sum of each of 16 vectors: of v[4 · n + m] element 4 · m + n. Halves are added, of two vectors at a time, then what is left
// of them, …; neighbours never, for compilers make slow horizontal additions of that.
INLINE float16 sums_of_sixteen(const float16 v[16]) {
  float16 eights[8], fours[4], twos[2];
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const float16 a = v[2 * n], b = v[2 * n + 1];
    eights[n] = (float16)(a.lo, b.lo) + (float16)(a.hi, b.hi);
  }
#pragma unroll
  for (int n = 0; n < 4; n++) {
    const float16 a = eights[2 * n], b = eights[2 * n + 1];
    fours[n] = (float16)(a.lo.lo, a.hi.lo, b.lo.lo, b.hi.lo) + (float16)(a.lo.hi, a.hi.hi, b.lo.hi, b.hi.hi);
  }
#pragma unroll
  for (int n = 0; n < 2; n++) {
    const float16 a = fours[2 * n], b = fours[2 * n + 1];
    twos[n] = (float16)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5, a.s8, b.s8, a.s9, b.s9, a.sc, b.sc, a.sd, b.sd) +
              (float16)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7, a.sa, b.sa, a.sb, b.sb, a.se, b.se, a.sf, b.sf);
  }
  const float16 a = twos[0], b = twos[1];
  return (float16)(a.s01, b.s01, a.s45, b.s45, a.s89, b.s89, a.scd, b.scd) +
         (float16)(a.s23, b.s23, a.s67, b.s67, a.sab, b.sab, a.sef, b.sef);
}
#else
static float4 sums_of_four(vector_t a, vector_t b, vector_t c, vector_t d) {
#if VECTOR == 8
  const float4 w = a.lo + a.hi, x = b.lo + b.hi, y = c.lo + c.hi, z = d.lo + d.hi;
#else
  const float4 w = a, x = b, y = c, z = d;
#endif
  const float4 left = (float4)(w.xy, x.xy) + (float4)(w.zw, x.zw);
  const float4 right = (float4)(y.xy, z.xy) + (float4)(y.zw, z.zw);
  return (float4)(left.xz, right.xz) + (float4)(left.yw, right.yw);
}
#endif

// scores[r][0 … KEYS − 1] = query[r] · key[0 … KEYS − 1]
INLINE void score_keys(__local float *scores, __local const float *query, const key_row_t *key,
                       __global const uchar *const *at_hand) {
  enum { BYTES = ROW_BYTES(KEY_WIDTH), ALL = KEYS * LINES(BYTES) };
  vector_t c[ROWS][KEYS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int e = 0; e < KEYS; e++) c[r][e] = 0.0f;
// (Written out in a row, loads of later steps take the registers of the sums; lines of quantised rows are counted by divisions, but
// for constants. Of wide rows fewer steps: they take seconds to compile otherwise.)
#if ROW_STORAGE < 3
#pragma unroll 1
#elif KEY_FLOATS <= 256
#pragma unroll 16
#else
#pragma unroll 4
#endif
  for (int d = 0; d < KEY_FLOATS; d += VECTOR) {
    ask_lines(at_hand, BYTES, ALL * d / KEY_FLOATS, ALL * (d + VECTOR) / KEY_FLOATS);
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
#if VECTOR == 16
  vector_t v[16];
#pragma unroll
  for (int n = 0; n < 16; n++) v[n] = n % 4 < ROWS ? c[n % 4][n / 4] : 0.0f;
  const vector_t sums = sums_of_sixteen(v);
  const float4 of_row[4] = {sums.lo.lo, sums.lo.hi, sums.hi.lo, sums.hi.hi};
#pragma unroll
  for (int r = 0; r < ROWS; r++) vstore4(of_row[r], 0, scores + r * TILE_KEYS);
#elif KEYS == 4
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

// output[r][…] += Σ_j weights[r][j] · value[j][…] over `keys` keys, for the `columns` vectors from element d on.
//
// (PoCL unrolls loops before it knows `columns`, and what is indexed by a variable then is not in registers.)
#define FOR_COLUMNS(n) _Pragma("unroll") for (int n = 0; n < COLUMNS; n++) if (n < columns)
INLINE void weigh(__local float *output, __local const float *weights, const value_row_t *value, const int keys, int d,
                  const int columns, __global const uchar *const *at_hand) {
  const int bytes = ROW_BYTES(VALUE_WIDTH), all = keys * LINES(bytes);
  const int begin = all * d / VALUE_FLOATS, share = (all * columns * VECTOR + VALUE_FLOATS - 1) / VALUE_FLOATS;
  vector_t o[ROWS][COLUMNS];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    FOR_COLUMNS(n) o[r][n] = *(__local const vector_t *)(output + r * VALUE_FLOATS + d + n * VECTOR);
#pragma unroll
  for (int j = 0; j < keys; j++) {
    ask_lines(at_hand, bytes, begin + j * share / keys, begin + (j + 1) * share / keys);
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

// All columns.
INLINE void weigh_columns(__local float *output, __local const float *weights, const value_row_t *value, const int keys,
                          __global const uchar *const *at_hand) {
  int d = 0;
  for (; d + COLUMNS * VECTOR <= VALUE_FLOATS; d += COLUMNS * VECTOR)
    weigh(output, weights, value, keys, d, COLUMNS, at_hand);
  for (; d < VALUE_FLOATS; d += VECTOR) weigh(output, weights, value, keys, d, 1, at_hand);
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

// Where the rows of a tile are: its keys, then its values; after the last, the last again, so that whole groups of keys can be
// read and asked for.
#define TILE_ROWS (2 * TILE_KEYS)

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

  __global const uchar *tiles[2 * TILE_ROWS];  // that at hand and the next: rows in the order in which they are read
  __global const uchar *const *const key = tiles, *const *const value = tiles + TILE_KEYS;
  if (piece.begin < piece.end)
    locate(tiles + TILE_ROWS, &walk, min(TILE_KEYS, piece.end - piece.begin), first, key_sources, value_sources);
  for (int j0 = piece.begin; j0 < piece.end; j0 += TILE_KEYS) {
    const int keys = min(TILE_KEYS, piece.end - j0), next_keys = min(TILE_KEYS, piece.end - j0 - keys);
    for (int k = 0; k < TILE_ROWS; k++) tiles[k] = tiles[TILE_ROWS + k];
    if (next_keys > 0) locate(tiles + TILE_ROWS, &walk, next_keys, first, key_sources, value_sources);
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
      for (int b = 1; b < blocks; b++)
        score_keys(t.weight + b * ROWS * TILE_KEYS + k, t.query + b * ROWS * KEY_FLOATS, rows, 0);
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

    if (open || all_finite(value, keys)) {
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
    } else {
      for (int r = 0; r < piece.rows; r++) {
        const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
        const int i = first_query + (piece.first_row + r) % queries;
        if (t.visibility[r] != TILE_HIDDEN) weigh_visible(t, m, head, r, i, j0, keys, value);
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
