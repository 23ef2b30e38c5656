// What decode_cpu.cl multiplies: rows of keys and values as vectors of float32, the lines of memory that are asked for
// meanwhile, and both products, by micro-kernels whose sums stay in registers.
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
#define KEY_FLOATS ROUNDED_UP(KEY_WIDTH, VECTOR)
#define VALUE_FLOATS ROUNDED_UP(VALUE_WIDTH, VECTOR)

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
// The sum of each of 16 vectors: of v[4 · n + m] element 4 · m + n. Halves are added, of two vectors at a time, then what is
// left of them, …; neighbours never, for compilers make slow horizontal additions of that.
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
// (Written out in a row, loads of later steps take the registers of the sums; lines of quantised rows are counted by divisions,
// but for constants. Of wide rows fewer steps: they take seconds to compile otherwise.)
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
