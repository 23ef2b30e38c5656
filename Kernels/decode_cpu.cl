// Pieces of decode.cl on a CPU: a work-item, alone in its work-group, walks the keys of its piece, a tile at a time:
//
//   for each tile of keys that some row sees:
//     S = Q·Kᵀ             four keys at a time, ROWS rows of queries
//     S = modifiers(S), m', P = exp(S − m'), l'       row by row (online_softmax.cl)
//     O = O · exp(m − m') + P·V                       four keys at a time, ROWS rows
//
// Four keys stay in the first-level cache while all rows meet them. Float32 rows of whole vectors are used where they
// lie, all others are unpacked to float32 first, once for all rows.

#ifndef ROWS
#define ROWS 2
#endif
#ifndef TILE_KEYS
#define TILE_KEYS 64
#endif

#define VECTOR SCORE_WIDTH
#define PADDED(length, multiple) (((length) + (multiple)-1) / (multiple) * (multiple))
#define KEY_FLOATS PADDED(KEY_WIDTH, VECTOR)
#define VALUE_FLOATS PADDED(VALUE_WIDTH, VECTOR)

typedef WIDE(float) vector_t;

#define ALONE __attribute__((reqd_work_group_size(1, 1, 1))) __attribute__((vec_type_hint(vector_t)))

// MARK: Rows

#if ROW_STORAGE == 0 && KEY_WIDTH % VECTOR == 0
typedef __global const float *key_row_t;
#else
#define UNPACK_KEYS
typedef const float *key_row_t;
#endif
#if ROW_STORAGE == 0 && VALUE_WIDTH % VECTOR == 0
typedef __global const float *value_row_t;
#else
#define UNPACK_VALUES
typedef const float *value_row_t;
#endif

#if ROW_STORAGE == 1
// Every finite float16 is, as the same bits of a float32 moved up, 2^112 times too small; infinities and NaN need all
// bits of the exponent.
static vector_t floats_from_halves(WIDE(ushort) halves) {
  const WIDE(uint) bits = WIDE(convert_uint)(halves);
  const WIDE(uint) magnitude = (bits & 0x7fffu) << 13;
  const WIDE(uint) sign = (bits & 0x8000u) << 16;
  const vector_t scaled = WIDE(as_float)(magnitude) * 5.192296858534828e33f;
  const WIDE(uint) special = magnitude >= 0x0f800000u ? (WIDE(uint))0x7f800000u : (WIDE(uint))0u;
  return WIDE(as_float)(WIDE(as_uint)(scaled) | sign | special);
}
#endif

// VECTOR elements of a row from element d on.
static vector_t row_elements(__global const uchar *row, int d, int width) {
#if ROW_STORAGE == 0
  (void)width;
  return WIDE(vload)(0, (__global const float *)row + d);
#elif ROW_STORAGE == 1
  (void)width;
  return floats_from_halves(WIDE(vload)(0, (__global const ushort *)row + d));
#elif ROW_STORAGE == 2
  (void)width;
  return WIDE(as_float)(WIDE(convert_uint)(WIDE(vload)(0, (__global const ushort *)row + d)) << 16);
#elif ROW_STORAGE == 3
  const float scale = vload_half(d / 32, (__global const half *)(row + width));
  return WIDE(convert_float)(WIDE(vload)(0, (__global const char *)row + d)) * scale;
#else
  const float scale = vload_half(d / 32, (__global const half *)(row + width / 2));
  const WIDE(uchar) bytes = WIDE(vload)(0, row + d / 32 * 16 + d % 16);
  const WIDE(int) nibbles = WIDE(convert_int)(d % 32 < 16 ? bytes & (uchar)15 : bytes >> (uchar)4);
  return WIDE(convert_float)(nibbles - 8) * scale;
#endif
}

static void unpack_row(float *to, __global const uchar *row, int count, int stored) {
  int d = 0;
  for (; d + VECTOR <= count; d += VECTOR) WIDE(vstore)(row_elements(row, d, stored), 0, to + d);
  for (; d < count; d++) to[d] = row_element(row, d, stored);
  for (; d % VECTOR != 0; d++) to[d] = 0.0f;
}

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

// scores[r][0 … 3] = query[r] · key[0 … 3]
static void score_four(__local float *scores, __local const float *query, const key_row_t key[4]) {
  vector_t c[ROWS][4];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int e = 0; e < 4; e++) c[r][e] = 0.0f;
  for (int d = 0; d < KEY_FLOATS; d += VECTOR) {
    vector_t k[4];
#pragma unroll
    for (int e = 0; e < 4; e++) k[e] = WIDE(vload)(0, key[e] + d);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const vector_t q = *(__local const vector_t *)(query + r * KEY_FLOATS + d);
#pragma unroll
      for (int e = 0; e < 4; e++) c[r][e] = fma(q, k[e], c[r][e]);
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    vstore4(sums_of_four(c[r][0], c[r][1], c[r][2], c[r][3]), 0, scores + r * TILE_KEYS);
}

// output[r] += Σ_e weights[r][e] · value[e] over `count` keys, at most four.
static void weigh(__local float *output, __local const float *weights, const value_row_t value[4], const int count) {
  vector_t p[ROWS][4];
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int e = 0; e < count; e++) p[r][e] = weights[r * TILE_KEYS + e];
  for (int d = 0; d < VALUE_FLOATS; d += VECTOR) {
    vector_t v[4];
#pragma unroll
    for (int e = 0; e < count; e++) v[e] = WIDE(vload)(0, value[e] + d);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      __local vector_t *to = (__local vector_t *)(output + r * VALUE_FLOATS + d);
      vector_t o = *to;
#pragma unroll
      for (int e = 0; e < count; e++) o = fma(p[r][e], v[e], o);
      *to = o;
    }
  }
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

#define REDUCE_4(v, f) f(f((v).x, (v).z), f((v).y, (v).w))
#define REDUCE_8(v, f) REDUCE_4(f((v).lo, (v).hi), f)
#define REDUCE_16(v, f) REDUCE_8(f((v).lo, (v).hi), f)
#define REDUCE PASTE(REDUCE_, VECTOR)
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define SUM(a, b) ((a) + (b))

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
static bool all_finite(const __global uchar *rows[TILE_KEYS], int keys) {
  WIDE(int) finite = -1;
  bool rest = true;
  for (int k = 0; k < keys; k++) {
    int d = 0;
    for (; d + VECTOR <= VALUE_WIDTH; d += VECTOR) finite &= isfinite(row_elements(rows[k], d, VALUE_STORED));
    for (; d < VALUE_WIDTH; d++) rest = rest && isfinite(row_element(rows[k], d, VALUE_STORED));
  }
  return rest && all(finite);
}

// The values of a tile some of which are not finite, where 0 · V is not 0 and visibility decides. Rare, so small rather
// than fast.
static void weigh_visible(Rows t, const Modifiers m, const Head head, int r, int i, int j0, int keys,
                          const __global uchar *rows[TILE_KEYS]) {
  for (int k = 0; k < keys; k++) {
    if (!is_visible(m, head, i, j0 + k)) continue;
    for (int n = 0; n < VALUE_WIDTH; n++)
      t.output[r * VALUE_FLOATS + n] += t.weight[r * TILE_KEYS + k] * row_element(rows[k], n, VALUE_STORED);
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

  for (int j0 = piece.begin; j0 < piece.end; j0 += TILE_KEYS) {
    const int keys = min(TILE_KEYS, piece.end - j0);
    __global const uchar *key_rows[TILE_KEYS];
    __global const uchar *value_rows[TILE_KEYS];
    for (int k = 0; k < keys; k++) {
      const long row = next_row(&walk);
      key_rows[k] = key_sources[source_of(row)] + (first.key + place_of(row)) * ROW_BYTES(KEY_WIDTH);
      value_rows[k] = value_sources[source_of(row)] + (first.value + place_of(row)) * ROW_BYTES(VALUE_STORED);
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

    for (int k = 0; k < keys; k += 4) {
      key_row_t four[4];
#ifdef UNPACK_KEYS
      float unpacked[4][KEY_FLOATS];
#endif
      for (int e = 0; e < 4; e++) {
        __global const uchar *row = key_rows[min(k + e, keys - 1)];
#ifdef UNPACK_KEYS
        unpack_row(unpacked[e], row, KEY_WIDTH, KEY_WIDTH);
        four[e] = unpacked[e];
#else
        four[e] = (__global const float *)row;
#endif
      }
      for (int b = 0; b < blocks; b++)
        score_four(t.weight + b * ROWS * TILE_KEYS + k, t.query + b * ROWS * KEY_FLOATS, four);
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

    if (open || all_finite(value_rows, keys)) {
      for (int k = 0; k < keys; k += 4) {
        const int count = min(4, keys - k);
        value_row_t four[4];
#ifdef UNPACK_VALUES
        float unpacked[4][VALUE_FLOATS];
#endif
        for (int e = 0; e < count; e++) {
#ifdef UNPACK_VALUES
          unpack_row(unpacked[e], value_rows[k + e], VALUE_WIDTH, VALUE_STORED);
          four[e] = unpacked[e];
#else
          four[e] = (__global const float *)value_rows[k + e];
#endif
        }
        for (int b = 0; b < blocks; b++) {
          __local float *to = t.output + b * ROWS * VALUE_FLOATS;
          __local const float *weights = t.weight + b * ROWS * TILE_KEYS + k;
          if (count == 4) {
            weigh(to, weights, four, 4);
          } else {
            for (int e = 0; e < count; e++) weigh(to, weights + e, four + e, 1);
          }
        }
      }
    } else {
      for (int r = 0; r < piece.rows; r++) {
        const Head head = heads[head_of_row(call, piece, piece.first_row + r)];
        const int i = first_query + (piece.first_row + r) % queries;
        if (t.visibility[r] != TILE_HIDDEN) weigh_visible(t, m, head, r, i, j0, keys, value_rows);
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
